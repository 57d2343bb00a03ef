"""Results that hold arrays can be compared and looked for: each equals itself alone.

Compared field by field, as dataclasses are by default, ``==`` and ``in`` raised ValueError.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from glamor_cli.predict.following import FramePrediction
from glamor_cli.predict.predictions import FacePrediction, ImagePrediction
from glamor_cli.predict.rows import FaceRow
from glamor_cli.predict.sources import SourceImage
from glamor_cli.runtimes.interface import Output
from glamor_cli.vision.pairs import Box
from glamor_cli.vision.status import Status

PACKAGE = Path(__file__).parents[1] / "glamor_cli"
ARRAYS = {"NDArray", "Tensor"}


def face() -> FacePrediction:
    some = np.ones(7, np.float32)
    return FacePrediction(Box(0, 0, 4, 4), 0.9, some, some, some)


def test_results_can_be_compared_looked_for_and_counted() -> None:
    for make in (
        face,
        lambda: ImagePrediction(
            "a.jpg", ("Happy",), (face(),), image=np.zeros((4, 4, 3), np.uint8)
        ),
        lambda: FramePrediction("a.mp4", ("Happy",), (face(),), frame=3),
        lambda: SourceImage("a.jpg", np.zeros((4, 4, 3), np.uint8)),
        lambda: Output(*[np.ones((2, 7), np.float32)] * 3),
    ):
        one, other = make(), make()
        assert one == one
        assert one != other
        assert one in [other, one]
        assert other not in [one]
        assert len({one, other, one}) == 2


def test_equal_rows_are_one_in_a_set_whatever_they_hold() -> None:
    def row(share: float) -> FaceRow:
        shares = {"Happy": share, "Sad": 1 - share}
        return FaceRow("a.mp4", 1, Status.OK, probabilities=shares, smoothed_probabilities=shares)

    assert row(0.5) == row(0.5) != row(0.25)
    assert len({row(0.5), row(0.5), row(0.25)}) == 2


def dataclasses() -> Iterator[tuple[str, ast.ClassDef, str]]:
    """Give each dataclass of the package with its module and its decorator."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                for decorator in map(ast.unparse, node.decorator_list):
                    if decorator.startswith("dataclass"):
                        yield path.relative_to(PACKAGE).as_posix(), node, decorator


def test_every_dataclass_that_holds_arrays_is_compared_so() -> None:
    holders, found = set(ARRAYS), set()
    classes = list(dataclasses())
    while True:  # until none is left that holds one that holds arrays
        before = len(found)
        for module, node, decorator in classes:
            fields = [field for field in node.body if isinstance(field, ast.AnnAssign)]
            named = [ast.unparse(field.annotation) for field in fields]
            named += map(ast.unparse, node.bases)
            if holders & set(re.findall(r"\w+", " ".join(named))):
                holders.add(node.name)
                found.add((module, node.name, decorator))
        if len(found) == before:
            break
    assert len(found) > 20
    assert [each for each in sorted(found) if "eq=False" not in each[2]] == []
