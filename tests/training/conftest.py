"""A small real store to train on, made of generated scenes, and a training on it."""

from pathlib import Path

import pytest
from quick_training import config

from glamor_cli.data.pair_options import BoxSource, PairMaking
from glamor_cli.data.preprocess import PreprocessConfig, preprocess
from glamor_cli.data.scene_config import SceneConfig
from glamor_cli.data.scenes import make_scenes
from glamor_cli.training.trainer import train


@pytest.fixture(scope="session")
def scene_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scene-store")
    make_scenes(root / "scenes", SceneConfig(train=28, validation=7, test=7, scale=1))
    making = PairMaking(boxes=BoxSource.CROP_FILES)
    preprocess(PreprocessConfig(root / "scenes", root / "pairs", making, workers=1))
    return root / "pairs"


@pytest.fixture(scope="session")
def undisturbed(scene_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    assert train(config(scene_store, run)).finished
    return run
