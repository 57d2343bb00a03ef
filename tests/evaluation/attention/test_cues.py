"""Cues are of the scenes that a store was made from, and of no others that are called alike."""

from dataclasses import replace
from pathlib import Path

import pytest

from glamor_cli.data.options import BoxSource, PairMaking, SceneConfig
from glamor_cli.data.preprocess.run import PreprocessConfig, preprocess
from glamor_cli.data.scenes.cues import read_cues
from glamor_cli.data.scenes.make import make_scenes
from glamor_cli.data.store.pair_store import PairStore
from glamor_cli.errors import DataError
from glamor_cli.evaluation.attention.cues import find_cues, match_cues

FEW = SceneConfig(train=0, validation=0, test=7, scale=1)


@pytest.mark.parametrize("official_jpeg", [False, True])
def test_cues_of_other_scenes_are_refused(tmp_path: Path, official_jpeg: bool) -> None:
    scenes = make_scenes(tmp_path / "scenes", FEW)
    others = make_scenes(tmp_path / "others", replace(FEW, seed=1))
    if official_jpeg:
        pytest.importorskip("simplejpeg", reason="simplejpeg is not installed")
    making = PairMaking(boxes=BoxSource.CROP_FILES, official_jpeg=official_jpeg)
    preprocess(PreprocessConfig(scenes, tmp_path / "pairs", making, workers=1))
    split = PairStore.open(tmp_path / "pairs").split("test")
    assert [cue.name for cue in find_cues(split, scenes)] == split.sources
    with pytest.raises(DataError, match="is not the scene that the store was made from"):
        find_cues(split, others)


def test_rows_of_a_store_find_their_scenes(tmp_path: Path) -> None:
    folder = make_scenes(tmp_path / "s", replace(FEW, test=3))
    cues = read_cues(folder)
    names = sorted(cues, reverse=True)
    assert [cue.name for cue in match_cues(names, cues)] == names
    absolute = [str(folder / name) for name in names]
    assert [cue.name for cue in match_cues(absolute, cues)] == names
    with pytest.raises(DataError, match="is not one of the scenes"):
        match_cues(["photo.jpg"], cues)
