"""Fixtures: a data set in the authors' layout, and preprocessing without starting processes."""

from collections.abc import Callable
from pathlib import Path

import pytest
from small_data_sets import write_authors_data_set

from glamor_cli.data.options import BoxSource, PairMaking
from glamor_cli.data.preprocess.progress import PreprocessReport
from glamor_cli.data.preprocess.run import PreprocessConfig, preprocess


@pytest.fixture(scope="session")
def authors_data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """15 images in two splits; for reading only."""
    root = tmp_path_factory.mktemp("authors") / "NCAER-S"
    return write_authors_data_set(root, {"test": 2, "train": 3})


@pytest.fixture(scope="session")
def run() -> Callable[..., PreprocessReport]:
    """Preprocess in this process, with boxes from crop files unless told otherwise."""

    def run_here(source, out, boxes=BoxSource.CROP_FILES, *, split=None, **making):
        options = PairMaking(boxes=BoxSource(boxes), **making)
        return preprocess(PreprocessConfig(source, out, options, split, workers=1))

    return run_here
