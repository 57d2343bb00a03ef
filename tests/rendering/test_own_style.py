"""Pictures are drawn in our own style, whatever a matplotlibrc or a notebook has set."""

import ast
from pathlib import Path
from threading import Thread

import matplotlib as mpl
import numpy as np
import pytest

import glamor_cli
from glamor_cli.evaluation.confidence import measure_reliability
from glamor_cli.evaluation.confusion_chart import save_confusion
from glamor_cli.evaluation.metrics import compute_metrics
from glamor_cli.evaluation.report_charts import draw_reliability
from glamor_cli.labels import EMOTIONS
from glamor_cli.rendering.own_style import own_style
from glamor_cli.rendering.pages import draw_svg

PACKAGE = Path(glamor_cli.__file__).parent
STYLES = [
    {"text.usetex": True},
    {"axes.grid": True, "font.size": 22, "savefig.transparent": True, "savefig.bbox": "tight"},
    "dark_background",
]


def pictures(folder: Path) -> tuple[bytes, str]:
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(7), 50).astype(np.float32)
    labels = generator.integers(0, 7, 50)
    path = folder / "confusion.png"
    save_confusion(path, compute_metrics(probabilities, labels, EMOTIONS))
    right = probabilities.argmax(axis=1) == labels
    reliability = measure_reliability(probabilities.max(axis=1), right)
    chart = draw_svg(draw_reliability(reliability), "a", "a chart")
    return path.read_bytes(), str(chart)


@pytest.mark.parametrize("style", STYLES, ids=["latex", "loud", "dark"])
def test_pictures_are_the_same_and_the_settings_come_back(tmp_path, style):
    plain = pictures(tmp_path)
    with mpl.rc_context():
        if isinstance(style, str):
            mpl.style.use(style)
        else:
            mpl.rcParams.update(style)
        before = dict(mpl.rcParams)
        assert pictures(tmp_path) == plain
        assert dict(mpl.rcParams) == before


def test_threads_that_draw_at_once_leave_a_programs_settings_alone():
    def draw():
        for _ in range(20):
            with own_style():
                pass

    with mpl.rc_context({"font.size": 31}):
        threads = [Thread(target=draw) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert mpl.rcParams["font.size"] == 31


def drawing_functions():
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and any(
                isinstance(call, ast.Call) and ast.unparse(call.func) == "Figure"
                for call in ast.walk(node)
            ):
                yield pytest.param(node, id=f"{path.stem}.{node.name}")


@pytest.mark.parametrize("function", list(drawing_functions()))
def test_whatever_makes_a_figure_has_our_style(function):
    assert "own_style()" in map(ast.unparse, function.decorator_list)
