"""Fuzz the parsers of strangers' files, guided by coverage, for as long as you like.

    uv run --group fuzz python tests/fuzz/run.py --minutes 10
    uv run --group fuzz python tests/fuzz/run.py --minutes 1 --parser images

Every parser runs in a process of its own, for so many minutes of CPU, beginning from the small
files that ``parsers.py`` makes. An input fails that raises anything but a refusal, crashes the
process, takes longer than the parser's ``seconds``, or brings the process above its ``memory_mb``.
Failing inputs, and the slowest of each parser, are kept in ``--keep``; ``--again FILE`` reads one
again. What the inputs were and what they took at most is written as JSON.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

KEEP = Path("runs/fuzz")
RESULTS = TESTS.parent / "benchmarks" / "results"
MAX_INPUT_BYTES = 65_536
HANG = 20
"""A process stands still that takes this many times a parser's ``seconds`` by the wall's clock."""


def main() -> int:
    """Fuzz in processes of their own and sum up; or be one of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10, help="CPU minutes for each parser")
    parser.add_argument("--parser", action="append", help="only this one; may be repeated")
    parser.add_argument(
        "--keep", type=Path, default=KEEP, help="failing inputs and the slowest go here"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result")
    parser.add_argument("--again", type=Path, help="read this input with --parser, and no other")
    parser.add_argument("--figures", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--child", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        fuzz(options.parser[0], options.minutes, options.keep, options.figures, options.child)
        return 0
    from fuzz.parsers import PARSERS

    names = options.parser or list(PARSERS)
    if unknown := set(names) - set(PARSERS):
        parser.error(f"no parser {', '.join(sorted(unknown))}; there are {', '.join(PARSERS)}")
    if options.again:
        with tempfile.TemporaryDirectory() as folder:
            PARSERS[names[0]].read(options.again.read_bytes(), Path(folder))
        print("read or refused")
        return 0
    try:
        import atheris  # noqa: F401
    except ImportError:
        parser.error("atheris is not installed: uv run --group fuzz python tests/fuzz/run.py")
    rows = [run(name, options.minutes, options.keep) for name in names]
    write_results(rows, options.out)
    return 1 if any(row["failed"] for row in rows) else 0


def run(name: str, minutes: float, keep: Path) -> dict:
    """Fuzz one parser for so many CPU minutes."""
    from fuzz.parsers import PARSERS

    parser = PARSERS[name]
    keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for number, seed in enumerate(parser.seeds()):
            (corpus / f"seed{number}").write_bytes(seed)
        libfuzzer = [
            str(corpus), f"-max_len={MAX_INPUT_BYTES}", f"-rss_limit_mb={parser.memory_mb}",
            # What an input takes is counted in CPU time, by ``fuzz``; this ends a true hang.
            f"-timeout={HANG * parser.seconds}", f"-artifact_prefix={keep}/{name}-", "-seed=1",
        ]  # fmt: skip
        if parser.tokens:
            tokens = Path(folder) / "tokens"
            tokens.write_text("".join(f'"{escaped(token)}"\n' for token in parser.tokens))
            libfuzzer.append(f"-dict={tokens}")
        figures = Path(folder) / "figures.json"
        command = [sys.executable, __file__, "--parser", name, "--minutes", str(minutes)]
        command += ["--keep", str(keep), "--figures", str(figures), "--child", *libfuzzer]
        done = subprocess.run(
            command, capture_output=True, env=os.environ | {"TMPDIR": folder}, check=False
        )
        row = {"parser": name, "bound_seconds": parser.seconds, "bound_mb": parser.memory_mb}
        row |= json.loads(figures.read_text()) if figures.exists() else {}
    row["failed"] = done.returncode != 0
    print(row, flush=True)
    if row["failed"]:
        print(done.stderr.decode(errors="replace")[-6000:], flush=True)
    return row


def escaped(token: bytes) -> str:
    """Write bytes as libFuzzer's dictionaries have them."""
    return "".join(f"\\x{byte:02x}" for byte in token)


def fuzz(name: str, minutes: float, keep: Path, figures: Path, libfuzzer: list[str]) -> None:
    """Be the process that fuzzes one parser; never returns."""
    import atheris

    with atheris.instrument_imports(include=["glamor_cli", "PIL", "csv", "json"]):
        from fuzz.parsers import PARSERS

        parser = PARSERS[name]
        for seed in parser.seeds():
            with tempfile.TemporaryDirectory() as warm:
                parser.read(seed, Path(warm))
    folder = Path(tempfile.mkdtemp())
    began = time.process_time()
    inputs, slowest = 0, 0.0

    def read(data: bytes) -> None:
        nonlocal inputs, slowest
        start = time.process_time()
        parser.read(data, folder)
        end = time.process_time()
        inputs += 1
        if end - start > slowest:
            slowest = end - start
            (keep / f"{name}-slowest").write_bytes(data)
        if end - start > parser.seconds:
            raise AssertionError(f"an input took {end - start:.1f} s")
        if end - began > minutes * 60:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            row = {
                "cpu_minutes": round((end - began) / 60, 2),
                "inputs": inputs,
                "slowest_seconds": round(slowest, 3),
                "peak_mb": round(peak),
            }
            figures.write_text(json.dumps(row))
            os._exit(0)

    atheris.Setup([sys.argv[0], *libfuzzer], read)
    atheris.Fuzz()


def write_results(rows: list[dict], out: Path) -> None:
    """Keep the figures, those of parsers that were not run now among them."""
    from glamor_cli.files.atomic import write_text
    from glamor_cli.system.environment import describe_environment

    path = out / "fuzzing.json"
    known = json.loads(path.read_text())["rows"] if path.exists() else []
    named = {row["parser"]: row for row in [*known, *rows]}
    result = {"environment": describe_environment().to_dict(), "rows": list(named.values())}
    write_text(path, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
