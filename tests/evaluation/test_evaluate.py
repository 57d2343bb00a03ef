"""From a real pair store and real weights to figures, files and a picture."""

import csv
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from glamor_cli.cli.app import app
from glamor_cli.cli.render import console
from glamor_cli.data.options import BoxSource, PairMaking
from glamor_cli.data.preprocess.run import PreprocessConfig, preprocess
from glamor_cli.data.store.pair_store import PairStore
from glamor_cli.errors import ConfigError, DataError
from glamor_cli.evaluation.evaluate import evaluate, write_predictions
from glamor_cli.evaluation.judged_pairs import choose_split
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.weights.network_file import load_network, save_network


@pytest.fixture(scope="module")
def split(folder):
    return PairStore.open(folder / "store").split("test")


@pytest.fixture(scope="module")
def runtime(folder):
    return open_runtime(folder / "varied.safetensors", device="cpu", threads=1)


def test_every_pair_is_answered_whatever_the_batch(split, runtime):
    progress = []
    result = evaluate(runtime, split, 8, lambda done, total: progress.append((done, total)))
    assert progress == [(8, 23), (16, 23), (23, 23)]
    whole = runtime(*split.pairs(slice(None)))
    np.testing.assert_allclose(result.probabilities, whole.probabilities, atol=1e-5)
    np.testing.assert_allclose(result.attention, whole.attention, atol=1e-5)
    np.testing.assert_allclose(result.stream_weights, whole.stream_weights, atol=1e-5)
    assert result.sources == tuple(split.sources)
    right = whole.probabilities.argmax(axis=1) == split.labels
    assert result.metrics.accuracy == pytest.approx(right.mean())
    assert len(set(whole.probabilities.argmax(axis=1))) > 1


def test_batches_without_pairs_are_refused(split, runtime):
    for batch in (0, -1):
        with pytest.raises(ConfigError, match=f"the batch size must be at least 1, not {batch}"):
            evaluate(runtime, split, batch)


def test_labels_follow_their_names_when_the_store_has_another_order(split, runtime):
    reference = evaluate(runtime, split)
    turned = replace(split, classes=split.classes[::-1], labels=6 - split.labels)
    np.testing.assert_array_equal(evaluate(runtime, turned).labels, reference.labels)


def test_a_class_that_the_network_does_not_know(split, runtime):
    foreign = replace(split, classes=("Contempt", *split.classes[1:]))
    with pytest.raises(DataError, match="Contempt"):
        evaluate(runtime, foreign)


def test_the_split_is_the_only_one_that_is_not_for_training():
    assert choose_split(("train", "validation", "test")) == "test"
    assert choose_split(("train", "validation")) == "validation"
    assert choose_split(("train", "holdout")) == "holdout"
    assert choose_split(("Test", "Train", "Val")) == "Test"
    assert choose_split(("Test", "Train", "val")) == "val", "the name as it is comes first"
    assert choose_split(("Train", "holdout")) == "holdout"
    for unclear in (("train",), ("Train",), ("train", "a", "b")):
        with pytest.raises(ConfigError, match="and none was chosen"):
            choose_split(unclear)


def test_the_command_writes_figures_and_a_report(folder, tmp_path, monkeypatch):
    figures, report = tmp_path / "figures.json", tmp_path / "report"
    arguments = ["evaluate", folder / "store", "--weights", folder / "varied.safetensors"]
    arguments += ["--device", "cpu", "--threads", 1, "--json", figures, "--report", report]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    assert "Surprise" in result.stderr
    values = json.loads(figures.read_text(encoding="utf-8"))
    contract = {"accuracy", "macro_f1", "count", "per_class", "confusion", "weights", "runtime"}
    assert contract <= set(values)
    assert values["count"] == 23 == np.sum(values["confusion"])
    assert values["accuracy"] == pytest.approx(np.trace(values["confusion"]) / 23)
    assert set(values["per_class"]["Fear"]) == {"precision", "recall", "f1", "support"}
    assert (values["split"], values["weights"]["name"]) == ("test", "varied")
    assert values["runtime"] == {"backend": "torch", "provider": "cpu"}
    with (report / "predictions.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 23
    right = sum(row["label"] == row["emotion"] for row in rows)
    assert right / 23 == pytest.approx(values["accuracy"])
    with Image.open(report / "confusion.png") as picture:
        assert min(picture.size) > 600
    figures = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
    low, high = figures["intervals"]["accuracy"].values()
    assert low < figures["accuracy"] < high
    assert figures.keys() - {"intervals"} == values.keys()
    arguments[arguments.index("--json") + 1] = "-"
    spoken = CliRunner().invoke(app, list(map(str, arguments[:-2])))
    assert json.loads(spoken.stdout) == values
    monkeypatch.setattr(console, "_width", 40)
    narrow = " ".join(CliRunner().invoke(app, list(map(str, arguments[:-2]))).stderr.split())
    classes, counts = [*values["per_class"]], values["confusion"][-1]
    row = [f"{name} {n}" for name, n in zip(classes, counts, strict=True) if n]
    assert all(cell in narrow.partition("answer Anger: ")[2] for cell in row)
    assert not Path("-").exists()
    assert (report / "report.html").stat().st_size > 50_000


def test_classes_without_pairs_have_no_figures(folder, tmp_path):
    """Zeros would read as if the network had failed on them."""
    for number in range(3):
        path = tmp_path / "images" / "Happy" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 48), (60 * number, 90, 30)).save(path)
    making = PairMaking(boxes=BoxSource.WHOLE)
    preprocess(PreprocessConfig(tmp_path / "images", tmp_path / "store", making, workers=1))
    arguments = ["evaluate", tmp_path / "store", "--weights", folder / "varied.safetensors"]
    arguments += ["--device", "cpu", "--threads", 1, "--json", "-", "--report", tmp_path / "report"]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.stderr
    written = (tmp_path / "report" / "metrics.json").read_text(encoding="utf-8")
    for values in (json.loads(result.stdout), json.loads(written)):
        unknown = {"precision": None, "recall": None, "f1": None, "support": 0}
        assert values["per_class"]["Fear"] == unknown
        known = values["per_class"]["Happy"]
        assert known["support"] == 3
        assert None not in known.values()
    rows = [[cell.strip() for cell in line.split("│")[1:6]] for line in result.stderr.splitlines()]
    assert ["Fear", "-", "-", "-", "0"] in rows


def test_mirror_images_are_asked_too_on_request(folder, tmp_path, split, runtime):
    figures = tmp_path / "figures.json"
    arguments = ["evaluate", folder / "store", "--weights", folder / "varied.safetensors"]
    arguments += ["--device", "cpu", "--threads", 1, "--json", figures, "--flip"]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.stderr
    assert "mirror images" in result.stderr
    values = json.loads(figures.read_text(encoding="utf-8"))
    assert values["flip"] is True
    face, context = split.pairs(slice(None))
    seen = runtime(face, context).probabilities
    mirrored = runtime(face[..., ::-1].copy(), context[..., ::-1].copy()).probabilities
    mean = (seen + mirrored) / 2
    likelihood = mean[np.arange(23), evaluate(runtime, split).labels]
    expected = pytest.approx(-np.log(likelihood).mean(), rel=1e-5)
    assert values["negative_log_likelihood"] == expected


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--split", "dev"], ConfigError),
        (["--split", ""], ConfigError),
        (["--weights", "nobody.onnx"], ConfigError),
    ],
)
def test_what_is_not_there(folder, arguments, error):
    weights = ["--weights", str(folder / "varied.safetensors")]
    result = CliRunner().invoke(app, ["evaluate", str(folder / "store"), *weights, *arguments])
    assert isinstance(result.exception, error)


@pytest.mark.parametrize("command", ["evaluate", "attention --pairs 2 --steps 2 --regions 1"])
def test_the_name_that_weights_carry_is_text_and_nothing_more(folder, tmp_path, command):
    network, metadata = load_network(folder / "varied.safetensors")
    path = tmp_path / "own.safetensors"
    save_network(path, network, replace(metadata, name="a\x1b[31m"))
    arguments = [*command.split(), folder / "store", "--weights", path, "--device", "cpu"]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.exception
    assert "a\\x1b[31m on " in result.stderr
    assert "\x1b" not in result.stderr


def test_a_folder_that_is_no_store(folder):
    result = CliRunner().invoke(app, ["evaluate", str(folder)])
    assert isinstance(result.exception, DataError)


def test_names_that_are_no_unicode_do_not_stop_the_report(split, runtime, tmp_path):
    evaluation = evaluate(runtime, split)
    sources = (os.fsdecode(b"a\xff\rb.jpg"), *evaluation.sources[1:])
    write_predictions(tmp_path / "predictions.csv", replace(evaluation, sources=sources))
    with (tmp_path / "predictions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(sources)
    assert rows[0]["source"] == "a\\udcff\rb.jpg"
