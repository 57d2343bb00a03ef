"""Imports keep to the floors of ARCHITECTURE.md: nothing reaches up, strangers stay strangers."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "glamor_cli"
STRANGERS = "do not know each other"
"""How the table says that the parts of one floor do not import each other."""


@dataclass(frozen=True)
class Floor:
    """A row of the table.

    Attributes:
        level: 0 is the highest.
        parts: Folders, with a slash at their end, and files, as the row names them.
        strangers: Whether they do not import each other.
    """

    level: int
    parts: tuple[str, ...]
    strangers: bool


def read_floors() -> list[Floor]:
    text = (REPOSITORY / "ARCHITECTURE.md").read_text(encoding="utf-8")
    table = text.partition("| floor | what is there |\n|---|---|\n")[2].partition("\n\n")[0]
    return [
        Floor(level, tuple(re.findall(r"`([^`]+)`", row)), STRANGERS in row)
        for level, row in enumerate(table.splitlines())
    ]


FLOORS = read_floors()
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def find_floor(module: str) -> tuple[Floor, str]:
    """Find the floor of a module, and which of its parts it belongs to; a file beats its folder."""
    for name in (module, f"{PurePosixPath(module).parts[0]}/"):
        for floor in FLOORS:
            if name in floor.parts:
                return floor, name
    raise LookupError(f"no floor of ARCHITECTURE.md has {module}")


def imported(module: str) -> Iterator[str]:
    """Give the package's modules that a module imports, at its top or anywhere in it."""
    tree = ast.parse((PACKAGE / module).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relative to itself"
            # What is imported may be a module, or a name in one.
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            package, *parts = name.split(".")
            if package != PACKAGE.name:
                continue
            found = (f"{'/'.join(parts[:end])}.py" for end in range(len(parts), 0, -1))
            yield from [file for file in found if file in MODULES][:1]


def test_the_table_names_what_is_there() -> None:
    parts = [part for floor in FLOORS for part in floor.parts]
    assert len(FLOORS) > 5
    assert len(parts) == len(set(parts))
    assert [part for part in parts if not (PACKAGE / part).exists()] == []


@pytest.mark.parametrize("module", [name for name in MODULES if name != "__init__.py"])
def test_imports_go_down(module: str) -> None:
    floor, part = find_floor(module)
    for other in imported(module):
        below, its_part = find_floor(other)
        assert below.level >= floor.level, f"{module} imports {other}, which is above it"
        if floor.strangers and below is floor:
            assert its_part == part, f"{module} imports {other}, a stranger on its floor"
