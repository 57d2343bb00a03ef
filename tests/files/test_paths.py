"""Settings take paths as text, as people write them."""

from pathlib import Path

import pytest

from glamor_cli.ablation.run import AblationConfig
from glamor_cli.data.preprocess.run import PreprocessConfig
from glamor_cli.demo.options import DemoConfig
from glamor_cli.evaluation.attention.report import AttentionConfig
from glamor_cli.evaluation.compare import CompareConfig
from glamor_cli.evaluation.evaluate import EvaluateConfig
from glamor_cli.export.artefacts import ArtefactConfig
from glamor_cli.export.options import ExportConfig
from glamor_cli.predict.predictor import PredictConfig
from glamor_cli.training.config import TrainConfig
from glamor_cli.training.recipes import PAPER


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        (PreprocessConfig("a", "a"), ("source", "out")),
        (TrainConfig("a", "a", PAPER), ("store", "run")),
        (
            TrainConfig("a", "a", PAPER, initial_weights="a", teacher="a"),
            ("initial_weights", "teacher"),
        ),
        (AblationConfig(TrainConfig("a", "a", PAPER), scenes="a"), ("scenes",)),
        (EvaluateConfig("a"), ("store",)),
        (CompareConfig("a", ("one", "other")), ("store",)),
        (AttentionConfig("a", scenes="a"), ("store", "scenes")),
        (ExportConfig(verify="a", calibrate="a"), ("verify", "calibrate")),
        (ArtefactConfig(triton_repository="a"), ("triton_repository",)),
        (PredictConfig(saved_in="a"), ("saved_in",)),
        (DemoConfig("a"), ("folder",)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_paths_may_be_given_as_text(settings, names):
    assert [getattr(settings, name) for name in names] == [Path("a")] * len(names)


def test_what_is_not_given_stays_so():
    assert TrainConfig("a", "a", PAPER).teacher is None
    assert PredictConfig().saved_in is None
