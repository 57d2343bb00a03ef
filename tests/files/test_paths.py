"""Settings and functions take paths as text, as people write them."""

from pathlib import Path

import pytest

from glamor_cli.ablation.run import AblationConfig
from glamor_cli.bench.options import BenchConfig
from glamor_cli.data.data_sets.fer2013 import convert_fer2013
from glamor_cli.data.options import SceneConfig
from glamor_cli.data.preprocess.run import PreprocessConfig
from glamor_cli.data.scenes.make import make_scenes
from glamor_cli.data.store.merge import merge_stores
from glamor_cli.demo.options import DemoConfig
from glamor_cli.errors import CheckpointError, ConfigError, DataError
from glamor_cli.evaluation.attention.run import AttentionConfig
from glamor_cli.evaluation.compare import CompareConfig
from glamor_cli.evaluation.evaluate import EvaluateConfig
from glamor_cli.export.artefacts import ArtefactConfig
from glamor_cli.export.options import ExportConfig
from glamor_cli.export.tensorflow_checkpoint import import_checkpoint
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
        (DemoConfig("a"), ("folder",)),
        (BenchConfig(images="a"), ("images",)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_paths_may_be_given_as_text(settings, names):
    assert [getattr(settings, name) for name in names] == [Path("a")] * len(names)


def test_exports_to_measure_may_be_text_too():
    for exports in (["a"], (Path("a"),)):
        assert BenchConfig(exports=exports).exports == (Path("a"),)


@pytest.mark.parametrize(
    ("do", "error"),
    [
        (lambda full: make_scenes(full, SceneConfig()), ConfigError),
        (lambda full: merge_stores([full, full], full), ConfigError),
        (lambda full: convert_fer2013(full, full), DataError),
        (lambda full: import_checkpoint(f"{full}/Model", f"{full}/a.safetensors"), CheckpointError),
        (lambda full: import_checkpoint("Model", f"{full}/a.bin"), ConfigError),
    ],
)
def test_functions_take_paths_as_text(do, error, tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(error):
        do(str(tmp_path))


def test_what_is_not_given_stays_so():
    assert TrainConfig("a", "a", PAPER).teacher is None
