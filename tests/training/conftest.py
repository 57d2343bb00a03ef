"""A small real store to train on, made of generated scenes, and a training on it."""

from pathlib import Path

import pytest
from quick_training import config
from scene_stores import write_scene_store

from glamor_cli.training.trainer import train


@pytest.fixture(scope="session")
def scene_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene_store(tmp_path_factory.mktemp("scene-store"))


@pytest.fixture(scope="session")
def undisturbed(scene_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    assert train(config(scene_store, run)).finished
    return run
