"""Every command that the README shows works as it stands there."""

import ast
import json
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer.main
from PIL import Image
from skimage.data import astronaut

from glamor_cli.bench.options import Row
from glamor_cli.cli.app import app
from glamor_cli.data.preprocess.progress import PreprocessReport
from glamor_cli.doctor.findings import Finding
from glamor_cli.evaluation.significance import Pairing

README = Path(__file__).resolve().parents[1] / "README.md"
# The demo takes minutes, and pytest would call itself.
LEFT_OUT = ("demo", "pytest")


def commands() -> list[list[str]]:
    blocks = re.findall(r"^```sh\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line.split() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line[:2] == ["uv", "run"]]


def test_the_two_commands_come_first() -> None:
    assert commands()[:2] == [["uv", "run", "glamor", "demo"], ["uv", "run", "pytest"]]


@pytest.mark.slow
def test_the_other_commands_run(tmp_path: Path) -> None:
    Image.fromarray(astronaut()).save(tmp_path / "photo.jpg", quality=95)
    shown = [line[2:] for line in commands() if line[2] not in LEFT_OUT]
    shown = [line for line in shown if line[1] not in LEFT_OUT]
    assert len(shown) >= 9
    for line in shown:
        assert line[0] == "glamor"
        done = subprocess.run(
            [sys.executable, "-m", "glamor_cli", *line[1:]],
            cwd=tmp_path,
            check=False,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, f"{' '.join(line)}\n{done.stderr}"
    for left in ("pictures", "explained.png", "report/confusion.png", "network.onnx"):
        assert (tmp_path / left).exists(), left


def documents() -> list[Path]:
    names = ("", "docs", "weights", "weights/making", "benchmarks")
    found = [document for name in names for document in (README.parent / name).glob("*.md")]
    assert len(found) >= 12
    return found


def shown_in(text: str) -> list[list[str]]:
    """The words after ``glamor`` of each command in a code block, or between back quotes."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`(glamor [^`]+)`", text)
    # Not what Python or YAML says in a block, where quotes may not even be in pairs.
    starts = re.compile(r"\s*(uv run|torchrun|glamor)\s")
    split = [shlex.split(line, comments=True) for line in lines if starts.match(line)]
    return [words[words.index("glamor") + 1 :] for words in split if "glamor" in words]


def parse(words: list[str]) -> None:
    """Parse a command's words as the command does, and do nothing; what is wrong is raised."""
    name, *rest = words
    command = typer.main.get_group(app).commands[name].load()
    if hasattr(command, "commands"):
        name, *rest = rest
        command = command.commands[name]
    try:
        command.make_context(name, rest)
    except typer.BadParameter as error:
        # Prose leaves out what it does not speak of: `glamor train --resume`.
        if type(error).__name__ != "MissingParameter":
            raise


def test_every_command_that_is_shown_has_the_options_it_is_shown_with() -> None:
    found, wrong = 0, []
    for document in documents():
        for words in shown_in(document.read_text(encoding="utf-8")):
            found += 1
            try:
                parse(words)
            except Exception as error:
                wrong.append(f"{document.name}: glamor {' '.join(words)}: {error!r}")
    assert not wrong, "\n".join(wrong)
    assert found > 60
    with pytest.raises(Exception, match="No such option: --learning-rate"):
        parse(["train", "STORE", "--learning-rate", "1"])


def test_every_page_is_a_link_or_two_away_from_the_readme() -> None:
    known = set(re.findall(r"\]\((docs/[\w-]+\.md)", README.read_text(encoding="utf-8")))
    for page in [*known]:
        text = (README.parent / page).read_text(encoding="utf-8")
        known |= {f"docs/{name}" for name in re.findall(r"\]\(([\w-]+\.md)", text)}
    pages = {page.relative_to(README.parent).as_posix() for page in documents()}
    assert {page for page in pages if page.startswith("docs/")} == known


def test_the_source_archive_has_the_scripts_that_contributing_names() -> None:
    project = tomllib.loads((README.parent / "pyproject.toml").read_text(encoding="utf-8"))
    packed = project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    text = (README.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"^bash ([^/\s]+)/", text, re.MULTILINE)
    assert named
    assert set(named) <= set(packed)


def test_cards_publish_under_names_that_can_be_published() -> None:
    made = README.parent / "weights" / "making" / "publish_weights.py"
    names = re.search(r"^SUMMARIES = (\{.*?^\})", made.read_text(), re.MULTILINE | re.DOTALL)[1]
    for card in (README.parent / "weights").glob("*.md"):
        shown = re.findall(r"publish_weights\.py \S+ \S+ (\S+)", card.read_text(encoding="utf-8"))
        assert shown
        assert set(shown) <= ast.literal_eval(names).keys()


def test_every_key_of_some_results_is_told() -> None:
    told = dict(table_under("Keys of `--json`", "docs/for-programs.md"))
    results = {
        "`preprocess`": PreprocessReport,
        "`bench`": Row,
        "`compare`": Pairing,
        "`doctor`": Finding,
    }
    for command, rows in results.items():
        keys = set(re.findall(r"`(\w+)`", told[command]))
        assert {field.name for field in fields(rows)} <= keys


def table_under(heading: str, document: str) -> list[list[str]]:
    """The cells of the table in a section, without its own heading."""
    text = (README.parent / document).read_text(encoding="utf-8")
    section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def measured(name: str) -> list[dict[str, Any]]:
    text = (README.parent / "benchmarks" / "results" / name).read_text(encoding="utf-8")
    return json.loads(text)["rows"]


def test_how_stores_grow_is_told_as_it_was_measured() -> None:
    steps: dict[int, list[str]] = {}
    for row in measured("store-scale.json"):
        cells = steps.setdefault(row["records"], [f"{row['records']:,}"])
        if row["step"] != "nothing":
            cells.append(f"{row['seconds']:.1f}")
        if row["step"] in ("index", "resume", "open"):
            cells.append(str(row["peak_mb"]))
    assert len(steps) == 4
    assert table_under("What a million images cost", "docs/large-data-sets.md") == [*steps.values()]


def test_what_fuzzing_found_is_told_as_it_was_measured() -> None:
    told = [
        [
            row["parser"],
            f"{row['inputs']:,}",
            f"{row['slowest_seconds']:.3f}",
            f"{row['peak_mb']:,}",
            f"{row['bound_mb']:,}",
        ]
        for row in measured("fuzzing.json")
    ]
    assert table_under("Files from strangers", "docs/large-data-sets.md") == told


def test_every_link_inside_the_repository_leads_somewhere() -> None:
    for document in documents():
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
            found = target.startswith("https://") or (document.parent / target).exists()
            assert found, f"{document.name}: {target}"
