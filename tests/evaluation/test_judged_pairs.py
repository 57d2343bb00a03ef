"""Networks that have learnt from what they are judged on: it is said, or left out."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from glamor_cli.cli.app import app
from glamor_cli.data.held_out import hold_out
from glamor_cli.data.store.pair_store import PairStore
from glamor_cli.errors import ConfigError
from glamor_cli.evaluation.judged_pairs import choose_pairs, choose_split
from glamor_cli.export.graph import describe
from glamor_cli.weights.metadata import LearntSplit, Metadata
from glamor_cli.weights.network_file import load_network, read_metadata, save_network
from glamor_cli.weights.registry import DEFAULT_WEIGHTS, find_weights

CPU = ("--device", "cpu", "--threads", "1")


@pytest.fixture
def store(folder: Path) -> PairStore:
    return PairStore.open(folder / "store")


@pytest.fixture
def learn(folder: Path, store: PairStore, tmp_path: Path) -> Callable[..., Path]:
    """Write weights that say that they learnt from a split."""

    def write(
        split: str, seed: int | None, called: str | None = None, chosen_by: str | None = None
    ) -> Path:
        network, metadata = load_network(folder / "varied.safetensors")
        digest = store.info.source[split].sha256
        learnt = LearntSplit(called or split, digest, len(store.split(split)), seed)
        path = tmp_path / f"{split}-{seed}.safetensors"
        chose = None if chosen_by is None else store.info.source[chosen_by].sha256
        save_network(path, network, replace(metadata, learnt_from=(learnt,), chosen_by=chose))
        return path

    return write


def run(*arguments: object) -> tuple[dict, str]:
    result = CliRunner().invoke(app, [*map(str, arguments), *CPU, "--json", "-"])
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout), " ".join(result.stderr.split())


def test_the_tenth_that_a_seed_holds_out_never_changes():
    """Weights name it by the seed alone: they would be judged by pairs that they learnt from."""
    left, held = hold_out([f"{row // 2}.jpg" for row in range(30)], 3)
    assert held.tolist() == [20, 21, 26, 27]
    assert left[:9].tolist() == [23, 3, 12, 17, 28, 18, 10, 0, 25]


def test_what_was_held_out_judges_alone(store, learn, tmp_path):
    weights, report = learn("test", 3), tmp_path / "report"
    found, said = run("evaluate", store.path, "--weights", weights, "--report", report)
    split = store.split("test")
    _, held = hold_out(split.sources, 3)
    assert (found["count"], found["held_out"], found["learnt_pairs"]) == (len(held), True, 0)
    assert "held out of training are used, 2 of 23" in said
    assert "held out of training are used" in (report / "report.html").read_text()
    rows = (report / "predictions.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == [split.sources[row] for row in held]
    # Faces of one image have one name, and only their rows tell them apart.
    assert [int(row.split(",")[-1]) for row in rows] == held.tolist()


def test_a_split_asked_for_by_name_is_judged_whole_and_says_so(store, learn, tmp_path):
    weights, report = learn("test", 3), tmp_path / "report"
    arguments = ("evaluate", store.path, "--weights", weights, "--split", "test")
    found, said = run(*arguments, "--report", report)
    assert (found["count"], found["held_out"], found["learnt_pairs"]) == (23, False, 21)
    for text in (said, (report / "report.html").read_text()):
        assert "learnt from 21 of these 23 pairs" in text
    # The same images are the same, whatever their split is called now.
    found, said = run(*arguments[:-2], "--weights", learn("test", None, called="all"))
    assert found["learnt_pairs"] == 23
    assert "learnt from 23 of these 23 pairs" in said


def test_weights_that_learnt_elsewhere_or_do_not_say_are_not_accused(folder, store, learn):
    elsewhere, said = run("evaluate", store.path, "--weights", learn("train", None))
    assert (elsewhere["count"], elsewhere["learnt_pairs"]) == (23, 0)
    assert "learnt" not in said
    silent, said = run("evaluate", store.path, "--weights", folder / "varied.safetensors")
    assert (silent["count"], silent["learnt_pairs"], silent["held_out"]) == (23, None, False)
    assert "learnt" not in said


def test_networks_are_compared_on_what_none_of_them_learnt_from(folder, store, learn, tmp_path):
    silent, report = folder / "other.safetensors", tmp_path / "report"
    arguments = ("compare", store.path, learn("test", 3), silent, "--no-latency")
    found, said = run(*arguments, "--report", report)
    assert (found["count"], found["held_out"]) == (2, True)
    assert [one["learnt_pairs"] for one in found["networks"]] == [0, None]
    assert "held out of every training are used, 2 of 23" in said
    with (report / "disagreements.csv").open(newline="", encoding="utf-8") as stream:
        rows = {int(line["row"]): line["source"] for line in csv.DictReader(stream)}
    split = store.split("test")
    assert (
        rows.items() <= {row: split.sources[row] for row in hold_out(split.sources, 3)[1]}.items()
    )
    found, said = run(*arguments, "--split", "test", "--report", report)
    assert [one["learnt_pairs"] for one in found["networks"]] == [21, None]
    for text in (said, (report / "comparison.html").read_text()):
        assert "learnt from 21 of these 23 pairs" in text
        assert text.count("these 23 pairs") == 1


def test_attention_is_measured_on_what_was_held_out(store, learn):
    arguments = ("attention", store.path, "--weights", learn("test", 3), "--regions", 2)
    found, said = run(*arguments, "--steps", 2)
    assert (found["count"], found["available"], found["held_out"]) == (2, 2, True)
    assert "held out of training are used" in said
    found, said = run(*arguments, "--steps", 2, "--split", "test", "--pairs", 23)
    assert (found["count"], found["learnt_pairs"]) == (23, 21)
    assert "learnt from 21 of these 23 pairs" in said


def test_a_training_says_that_what_it_begins_with_knows_its_validation_pairs(
    store, learn, tmp_path
):
    """The run itself is refused, because its folder holds other files."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "other").touch()
    words = ["train", str(store.path), "--run", str(tmp_path / "run"), "--recipe", "scenes"]
    words += ["--validation-split", "test"]

    def said(*arguments: object) -> str:
        result = CliRunner().invoke(app, [*words, *map(str, arguments)])
        assert isinstance(result.exception, ConfigError)
        return " ".join(result.stderr.split())

    knowing, elsewhere = learn("test", 3), learn("train", None)
    for option in ("--init", "--teacher"):
        text = said(option, knowing)
        assert f"{knowing} learnt from 21 of the 23 validation pairs" in text
        assert "learnt from" not in said(option, elsewhere)


def test_a_network_whose_epoch_these_pairs_chose_says_so(folder, store, learn, tmp_path):
    weights = learn("train", None, chosen_by="test")
    exported = tmp_path / "chosen.onnx"
    graph = onnx.load(find_weights(DEFAULT_WEIGHTS, suffix=".onnx"))
    describe(graph, read_metadata(weights), {})
    onnx.save(graph, exported)
    for file in (weights, exported):
        found, said = run("evaluate", store.path, "--weights", file)
        assert found["chose_epoch"] is True
        assert "was chosen among its epochs by its accuracy on test" in said
    found, said = run("attention", store.path, "--weights", weights, "--regions", 2, "--steps", 2)
    assert found["chose_epoch"] is True
    assert "chosen among its epochs" in said
    silent = folder / "varied.safetensors"
    found, said = run("compare", store.path, silent, weights, "--no-latency")
    assert [one["chose_epoch"] for one in found["networks"]] == [None, True]
    assert said.count("chosen among its epochs") == 1
    # There is worse to say of pairs that it learnt from.
    found, said = run("evaluate", store.path, "--weights", weights, "--split", "train")
    assert found["chose_epoch"] is False
    assert "chosen among its epochs" not in said


def test_a_draw_from_other_pairs_is_not_taken_for_the_same(store):
    """With images left out by the store, another tenth would be drawn."""
    split = store.split("test")
    learnt = LearntSplit("test", store.info.source["test"].sha256, len(split) + 1, 3)
    pairs = choose_pairs(store, split, [Metadata("w", learnt_from=(learnt,))], whole=False)
    np.testing.assert_array_equal(pairs.rows, np.arange(23))
    assert (pairs.learnt, pairs.held_out) == ((23,), False)


def test_what_the_first_weights_learnt_from_stays_known(store):
    """A training that began with others holds out another tenth than theirs."""
    split = store.split("test")
    learnt = [
        LearntSplit("test", store.info.source["test"].sha256, len(split), seed) for seed in (3, 4)
    ]
    pairs = choose_pairs(store, split, [Metadata("w", learnt_from=tuple(learnt))], whole=True)
    both = {*hold_out(split.sources, 3)[1]} & {*hold_out(split.sources, 4)[1]}
    assert pairs.learnt == (23 - len(both),)


def test_weights_that_began_with_silent_ones_do_not_say_that_they_learnt_from_nothing(
    folder, store, tmp_path
):
    """As those do that go on from files of older versions, the shipped ones among them."""
    network, metadata = load_network(folder / "varied.safetensors")
    learnt = LearntSplit("train", store.info.source["train"].sha256, len(store.split("train")))
    own = replace(metadata, learnt_from=(learnt,), learnt_all=False)
    save_network(tmp_path / "own.safetensors", network, own)
    found, _ = run("evaluate", store.path, "--weights", tmp_path / "own.safetensors")
    assert found["learnt_pairs"] is None
    arguments = ("evaluate", store.path, "--weights", tmp_path / "own.safetensors")
    found, _ = run(*arguments, "--split", "train")
    assert found["learnt_pairs"] == found["count"] > 0


def test_an_only_split_called_train_is_judged_on_what_was_held_out():
    held_out = Metadata("w", learnt_from=(LearntSplit("train", "0", 20, 3),))
    whole = Metadata("w", learnt_from=(LearntSplit("train", "0", 20),))
    assert choose_split(("train",), [held_out, held_out]) == "train"
    for networks in ([], [whole], [held_out, whole], [Metadata("w")]):
        with pytest.raises(ConfigError, match="none was chosen"):
            choose_split(("train",), networks)
