"""A small real store to train on: generated scenes, taken through their box files."""

from pathlib import Path

import pytest

from glamor_cli.data.pair_options import BoxSource, PairMaking
from glamor_cli.data.preprocess import PreprocessConfig, preprocess
from glamor_cli.data.scene_config import SceneConfig
from glamor_cli.data.scenes import make_scenes


@pytest.fixture(scope="session")
def scene_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scene-store")
    make_scenes(root / "scenes", SceneConfig(train=28, validation=7, test=7, scale=1))
    making = PairMaking(boxes=BoxSource.CROP_FILES)
    preprocess(PreprocessConfig(root / "scenes", root / "pairs", making, workers=1))
    return root / "pairs"
