"""What judges a training: pairs that it does not learn from."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from quick_training import QUICK, config
from small_data_sets import write_authors_data_set

from glamor_cli.ablation.run import AblationConfig, ablate
from glamor_cli.data.options import BoxSource, PairMaking
from glamor_cli.data.preprocess.run import PreprocessConfig, preprocess
from glamor_cli.data.store.pair_store import PairStore
from glamor_cli.errors import ConfigError, DataError
from glamor_cli.evaluation.evaluate import EvaluateConfig, evaluate_store
from glamor_cli.evaluation.judged_pairs import choose_pairs
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.training.config import BEST, METRICS
from glamor_cli.training.splits import choose_rows, settle_train_split
from glamor_cli.training.trainer import train
from glamor_cli.weights.metadata import LearntSplit
from glamor_cli.weights.network_file import load_network, read_metadata, save_network


def test_without_a_validation_split_a_tenth_is_held_out(scene_store: Path, tmp_path: Path) -> None:
    making = PairMaking(boxes=BoxSource.CROP_FILES)
    scenes, pairs = scene_store.parent / "scenes", tmp_path / "pairs"
    preprocess(PreprocessConfig(scenes, pairs, making, split="train", workers=1))
    alone = config(pairs, tmp_path / "run", replace(QUICK, epochs=1))
    seen: list[int] = []
    result = train(alone, on_progress=lambda progress: seen.append(progress.steps))
    assert result.judged_by == "a tenth of train"
    assert set(seen) == {4}, "26 pairs are left to learn from, in steps of 8"

    rows, split, held = choose_rows(PairStore.open(pairs), alone)
    assert (len(rows), len(held)) == (26, 2)
    assert sorted([*rows, *held]) == list(range(28))
    # And it is these two that judged.
    faces, contexts = split.pairs(held)
    answers = open_runtime(tmp_path / "run" / BEST, device="cpu", threads=1)(faces, contexts)
    right = answers.probabilities[np.arange(2), split.labels[held]]
    line = json.loads((tmp_path / "run" / METRICS).read_text())
    assert -np.log(right).mean() == pytest.approx(line["validation_loss"], rel=1e-4)
    # The weights say so, and evaluation finds the two again.
    metadata = read_metadata(tmp_path / "run" / BEST)
    digest = PairStore.open(pairs).info.source["train"].sha256
    assert metadata.learnt_from == (LearntSplit("train", digest, 28, 0),)
    assert metadata.chosen_by == digest
    judged = choose_pairs(PairStore.open(pairs), split, [metadata], whole=False)
    np.testing.assert_array_equal(judged.rows, held)
    # The seed says which.
    _, _, others = choose_rows(PairStore.open(pairs), replace(alone, seed=1))
    assert set(others) != set(held)


def test_weights_say_what_they_and_their_beginning_learnt_from(
    scene_store: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """Judged by another split, all of the first was learnt from."""
    other = {"train_split": "validation", "initial_weights": undisturbed / BEST}
    train(config(scene_store, tmp_path / "run", replace(QUICK, epochs=1), **other))
    source = PairStore.open(scene_store).info.source
    metadata = read_metadata(tmp_path / "run" / BEST)
    assert metadata.learnt_from == (
        LearntSplit("validation", source["validation"].sha256, 7, 0),
        LearntSplit("train", source["train"].sha256, 28),
    )
    assert metadata.knows_learnt
    # What the first weights' epoch was chosen by says nothing of this run's.
    assert read_metadata(undisturbed / BEST).chosen_by == source["validation"].sha256
    own = {"train_split": "train", "validation_split": "test"}
    train(config(scene_store, tmp_path / "own", replace(QUICK, epochs=1), **other | own))
    assert read_metadata(tmp_path / "own" / BEST).chosen_by == source["test"].sha256
    # Files of older versions, the shipped ones among them, name nothing.
    network, _ = load_network(undisturbed / BEST)
    silent = tmp_path / "silent.safetensors"
    save_network(silent, network, replace(read_metadata(undisturbed / BEST), learnt_from=()))
    other["initial_weights"] = silent
    train(config(scene_store, tmp_path / "next", replace(QUICK, epochs=1), **other))
    metadata = read_metadata(tmp_path / "next" / BEST)
    assert len(metadata.learnt_from) == 1
    assert not metadata.knows_learnt


@pytest.mark.parametrize(
    ("learnt", "name"),
    [("train", "validation"), ("train", "val"), ("train", "valid"), ("Train", "Val")],
)
def test_what_judges_is_the_split_that_is_there(
    scene_store: Path, tmp_path: Path, learnt: str, name: str
) -> None:
    data_set = write_authors_data_set(tmp_path / "set", {"Test": 1, learnt: 2, name: 1})
    making = PairMaking(BoxSource.WHOLE)
    preprocess(PreprocessConfig(data_set, tmp_path / "pairs", making, workers=1))
    store = PairStore.open(tmp_path / "pairs")
    asked = settle_train_split(config(tmp_path / "pairs", tmp_path / "run"))
    rows, split, held = choose_rows(store, asked)
    assert asked.train_split == learnt
    assert (split.name, len(rows), len(held)) == (name, 6, 3)
    for absent in ("nowhere", ""):  # empty, as of a variable that a script forgot
        with pytest.raises(ConfigError, match=f"no split '{absent}'"):
            train(config(scene_store, tmp_path / "run", validation_split=absent))
    assert not (tmp_path / "run").exists()


def test_a_split_cannot_judge_what_was_learnt_from_it(scene_store: Path, tmp_path: Path) -> None:
    both = {"train_split": "validation", "validation_split": "validation"}
    for settings in ({"validation_split": "train"}, both):
        with pytest.raises(ConfigError, match="is the training split and cannot also"):
            train(config(scene_store, tmp_path / "run", **settings))


def test_pairs_of_one_image_are_held_out_together(scene_store: Path, tmp_path: Path) -> None:
    store = PairStore.open(scene_store)
    store.splits = ("train",)
    split = store.split("train")
    split.sources[:] = [f"group-{row // 4}.jpg" for row in range(len(split))]
    rows, _, held = choose_rows(store, config(scene_store, tmp_path / "run"))
    learnt, judged = ({split.sources[row] for row in part} for part in (rows, held))
    assert not learnt & judged
    assert len(split) // 10 <= len(held) < len(split) // 10 + 4
    assert sorted([*rows, *held]) == list(range(len(split)))


def test_the_split_to_learn_from_may_have_any_name(scene_store: Path, tmp_path: Path) -> None:
    alone = config(scene_store, tmp_path / "run", train_split="validation")
    rows, split, held = choose_rows(PairStore.open(scene_store), alone)
    assert (split.name, len(rows) + len(held)) == ("validation", len(split))
    assert not set(rows) & set(held)


def test_data_without_splits_are_learnt_from_and_judged_without_naming_any(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for label in ("Happy", "Sad"):
        (folder / label).mkdir(parents=True)
        for shade in range(5):
            Image.new("RGB", (60, 60), (40 * shade, 0, 0)).save(folder / label / f"{shade}.png")
    store, run = tmp_path / "pairs", tmp_path / "run"
    preprocess(PreprocessConfig(folder, store, PairMaking(BoxSource.WHOLE), workers=1))
    asked = config(store, run, replace(QUICK, epochs=1))
    train(asked)
    (learnt,) = read_metadata(run / BEST).learnt_from
    assert (learnt.split, learnt.pairs, learnt.held_out_seed) == ("all", 10, 0)
    # It is the run of whoever named them.
    assert train(replace(asked, train_split="all"), resume=True).finished
    judged = evaluate_store(EvaluateConfig(store, str(run / BEST), device="cpu", threads=1))
    assert judged.evaluation.metrics.count == 1
    same = AblationConfig(replace(asked, run=tmp_path / "runs"), test_split="all")
    with pytest.raises(ConfigError, match="'all' is the training split"):
        ablate(same)


def test_too_little_to_learn_from_is_told_for_what_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    Image.new("RGB", (60, 60)).save(folder / "a.png")
    boxes = [(x, 0, x + 20, 20) for x in (0, 10, 20)]
    rows = [f"a.png,Happy,train,{','.join(map(str, box))}" for box in boxes]
    (folder / "m.csv").write_text("\n".join(["path,label,split,x1,y1,x2,y2", *rows]))
    making = PairMaking(boxes=BoxSource.MANIFEST)
    preprocess(PreprocessConfig(folder / "m.csv", tmp_path / "one", making))
    with pytest.raises(DataError, match="are of one image"):
        train(config(tmp_path / "one", tmp_path / "run"))
    missing = "gone.png,Happy,validation,0,0,20,20"
    (folder / "n.csv").write_text("\n".join(["path,label,split,x1,y1,x2,y2", *rows, missing]))
    preprocess(PreprocessConfig(folder / "n.csv", tmp_path / "two", making))
    with pytest.raises(DataError, match="the split validation holds no pairs"):
        train(config(tmp_path / "two", tmp_path / "run"))
