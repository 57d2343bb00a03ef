"""Several real networks on one real store, from the command line to the page."""

import csv
import json
import ntpath
import os
import re
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import browse, find_barriers, measure_contrasts, needs_browser
from matplotlib.colors import to_rgb
from PIL import Image
from typer.testing import CliRunner

from glamor_cli.cli.app import app
from glamor_cli.cli.render import console
from glamor_cli.data.options import BoxSource, PairMaking
from glamor_cli.data.preprocess.run import PreprocessConfig, preprocess
from glamor_cli.errors import ConfigError, DataError
from glamor_cli.evaluation.attention.run import AttentionConfig, measure_store
from glamor_cli.evaluation.compare import CompareConfig, Latency, compare_store, shorten_names
from glamor_cli.evaluation.comparison_report import draw_comparison
from glamor_cli.evaluation.confusion_chart import draw_confusion
from glamor_cli.evaluation.evaluate import EvaluateConfig, evaluate_store
from glamor_cli.evaluation.metrics import compute_metrics
from glamor_cli.files.reading import sha256
from glamor_cli.labels import EMOTIONS
from glamor_cli.network.glamor_net import GlamorNet
from glamor_cli.weights.metadata import Metadata
from glamor_cli.weights.network_file import load_network, save_network
from glamor_cli.weights.registry import DEFAULT_WEIGHTS

NETWORKS = ("varied", "other", "face-only")


@pytest.fixture(scope="module")
def weights(folder) -> list[Path]:
    return [folder / f"{name}.safetensors" for name in NETWORKS]


@pytest.fixture(scope="module")
def report(folder, weights, tmp_path_factory):
    """The command's report, its figures and what it printed."""
    out = tmp_path_factory.mktemp("comparison")
    arguments = ["compare", folder / "store", *weights, "--device", "cpu", "--threads", 1]
    arguments += ["--batch", 8, "--json", out / "figures.json", "--report", out / "report"]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    for shown in (*NETWORKS, "B - A", "C - B", "answered differently"):
        assert shown in result.stderr
    return out / "report"


@pytest.fixture(scope="module")
def figures(report):
    written = (report / "comparison.json").read_text(encoding="utf-8")
    assert written == (report.parent / "figures.json").read_text(encoding="utf-8")
    return json.loads(written)


def test_weights_that_a_training_replaces_meanwhile_are_told_as_they_were(folder, tmp_path):
    files = [
        shutil.copy(folder / f"{name}.safetensors", tmp_path / f"{name}.safetensors")
        for name in ("varied", "face-only")
    ]
    before = [sha256(file) for file in files]

    def replace_all(*_):
        for file in files:
            (tmp_path / "new").write_text("other weights")
            (tmp_path / "new").replace(file)

    options = {"split": "test", "device": "cpu"}
    compared = compare_store(
        CompareConfig(folder / "store", tuple(files), latency=False, **options), replace_all
    )
    assert [contender.weights.sha256 for contender in compared.contenders] == before
    shutil.copy(folder / "varied.safetensors", files[0])
    evaluated = evaluate_store(EvaluateConfig(folder / "store", files[0], **options), replace_all)
    assert evaluated.weights.sha256 == before[0]
    shutil.copy(folder / "varied.safetensors", files[0])
    measured = measure_store(
        AttentionConfig(folder / "store", files[0], pairs=2, **options), replace_all
    )
    assert measured.weights.sha256 == before[0]


def test_figures_go_to_standard_output_alone(folder, weights, figures, monkeypatch):
    monkeypatch.setattr(console, "_width", 40)
    arguments = ["compare", folder / "store", *weights[:2], "--device", "cpu", "--no-latency"]
    arguments += ["--batch", 8, "--threads", 1, "--json", "-"]
    spoken = CliRunner().invoke(app, list(map(str, arguments)))
    names = [one["name"] for one in figures["networks"][:2]]
    assert [one["name"] for one in json.loads(spoken.stdout)["networks"]] == names
    said = " ".join(spoken.stderr.split())
    for shown in ("answered differently", "B - A: ", *names, "better none"):
        assert shown in said
    assert not Path("-").exists()


def test_each_network_has_the_figures_that_evaluate_gives_it(folder, weights, figures):
    assert [one["name"] for one in figures["networks"]] == [f"{n}.safetensors" for n in NETWORKS]
    for path, one in zip(weights, figures["networks"], strict=True):
        config = EvaluateConfig(folder / "store", path, device="cpu", threads=1)
        alone = evaluate_store(config).to_dict()
        for name in ("accuracy", "macro_f1", "calibration_error", "negative_log_likelihood"):
            assert one[name] == pytest.approx(alone[name], abs=1e-6)
        assert one["sha256"] == alone["weights"]["sha256"]
        assert one["latency"]["p50_ms"] > 0
        assert one["latency"]["pairs_per_second"] > 0


def test_pairings_and_disagreements_are_those_of_the_answers(folder, weights, figures, report):
    answers = []
    for path in weights:
        config = EvaluateConfig(folder / "store", path, device="cpu", threads=1)
        evaluation = evaluate_store(config).evaluation
        answers.append(evaluation.probabilities.argmax(axis=1))
    labels = evaluation.labels
    right = np.stack(answers) == labels
    assert [(one["first"], one["second"]) for one in figures["pairings"]] == [
        ("A", "B"),
        ("A", "C"),
        ("B", "C"),
    ]
    last = figures["pairings"][2]
    assert last["first_only"] == (right[1] & ~right[2]).sum()
    assert last["second_only"] == (right[2] & ~right[1]).sum()
    assert last["accuracy"]["value"] == pytest.approx(right[2].mean() - right[1].mean())

    differing = [row for row in range(len(labels)) if len({int(a[row]) for a in answers}) > 1]
    assert figures["disagreements"]["count"] == len(differing) > 0
    assert sum(figures["disagreements"]["per_class"].values()) == len(differing)
    with (report / "disagreements.csv").open(newline="", encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))
    assert [line["source"] for line in lines] == [evaluation.sources[row] for row in differing]
    assert [int(line["row"]) for line in lines] == differing
    for line, row in zip(lines, differing, strict=True):
        assert line["right"] == "".join(
            letter for letter, one in zip("ABC", right[:, row], strict=True) if one
        )
        assert line["B_emotion"] == figures["classes"][answers[1][row]]


def test_the_page_and_the_picture(report):
    page = (report / "comparison.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert page.count("<article") > 0
    assert "Left: the face" in page
    for name in NETWORKS:
        assert f"{name}.safetensors" in page
    assert "Accuracy and latency" in page
    with Image.open(report / "comparison.png") as picture:
        assert min(picture.size) > 600


@pytest.mark.parametrize("times", [(60, 85), (7.8, 8.1), (3.15, 3.15), (0.4, 2000), (85, 310)])
def test_the_times_on_the_axis_can_be_told_apart(folder, weights, times):
    config = CompareConfig(
        folder / "store", tuple(weights[:2]), device="cpu", threads=1, latency=False
    )
    compared = compare_store(config)
    timed = tuple(
        replace(one, latency=Latency(time, time, 8, 1000 / time))
        for one, time in zip(compared.contenders, times, strict=True)
    )
    figure = draw_comparison(replace(compared, contenders=timed), names=True)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    labels = [*axes.get_xticklabels(), *axes.get_xticklabels(minor=True)]
    boxes = [one.get_window_extent() for one in labels if one.get_text()]
    shown = [box for box in boxes if axes.bbox.x0 <= (box.x0 + box.x1) / 2 <= axes.bbox.x1]
    assert len(shown) >= 2
    shown.sort(key=lambda box: box.x0)
    assert all(left.x1 + 4 < right.x0 for left, right in pairwise(shown)), "pixels of 100 an inch"


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
def test_a_browser_shows_the_page(report, tmp_path, dark):
    picture = tmp_path / "page.png"
    arguments = (f"--screenshot={picture}", "--window-size=1250,1500")
    _, complaints = browse(report / "comparison.html", tmp_path / "profile", *arguments, dark=dark)
    assert complaints == []
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("L")).astype(int)
    assert (pixels[4, 4] < 40) if dark else (pixels[4, 4] > 240)
    assert (pixels[:, -8:] == pixels[4, 4]).all()


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
def test_all_text_stands_out(report, tmp_path, dark):
    """By at least 4.5, as WCAG's level AA asks of small text."""
    found = measure_contrasts(report / "comparison.html", tmp_path, dark=dark)
    assert {"✓", "✗"} < {text for text, _ in found}
    assert [(text, ratio) for text, ratio in found if ratio < 4.5] == []


@needs_browser
def test_it_can_be_read_on_a_narrow_screen(report, tmp_path):
    assert find_barriers(report / "comparison.html", tmp_path) == []


def test_networks_whose_classes_stand_in_another_order(folder, weights, tmp_path):
    """Turned classes with turned outputs are the same network; every answer must agree."""
    network, metadata = load_network(weights[0])
    logits = network.classifier.logits
    logits.weight.data, logits.bias.data = logits.weight.data.flip(0), logits.bias.data.flip(0)
    turned = type(metadata)(
        "turned", network=metadata.network, classes=tuple(reversed(metadata.classes))
    )
    save_network(tmp_path / "turned.safetensors", network, turned)
    config = CompareConfig(
        folder / "store",
        (weights[0], tmp_path / "turned.safetensors"),
        device="cpu",
        threads=1,
        latency=False,
    )
    result = compare_store(config)
    assert len(result.disagreements) == 0
    assert len({one.metrics.accuracy for one in result.contenders}) == 1
    assert result.contenders[0].latency is None


def test_a_class_that_only_one_network_answers_counts_for_all(folder, weights, tmp_path):
    """Else the one that never answers it would be judged by fewer classes."""
    network, metadata = load_network(weights[0])
    torch.manual_seed(0)
    more = GlamorNet(replace(metadata.network, classes=8)).eval()
    kept = {name: value for name, value in network.state_dict().items() if "logits" not in name}
    more.load_state_dict(more.state_dict() | kept)
    logits, old = more.classifier.logits, network.classifier.logits
    logits.weight.data[:7], logits.bias.data[:7] = old.weight.data, old.bias.data
    logits.weight.data[7], logits.bias.data[7] = old.weight.data[3], old.bias.data[3] + 0.01
    named = Metadata("more", network=more.config, classes=(*metadata.classes, "Contempt"))
    save_network(tmp_path / "more.safetensors", more, named)
    files = (weights[0], tmp_path / "more.safetensors")
    config = CompareConfig(folder / "store", files, device="cpu", threads=1, latency=False)
    result = compare_store(config)
    assert (result.answers[1] == 7).any()
    assert set(result.labels) == set(range(7))
    alone = [evaluate_store(EvaluateConfig(folder / "store", one, device="cpu")) for one in files]
    without, with_it = (one.evaluation.metrics.macro_f1 for one in alone)
    expected = [without * 7 / 8, with_it]
    figures = result.to_dict()
    assert [one["macro_f1"] for one in figures["networks"]] == pytest.approx(expected, abs=1e-6)
    difference = figures["pairings"][0]["macro_f1"]
    assert difference["value"] == pytest.approx(expected[1] - expected[0], abs=1e-6)
    # Averaged over the same classes the two are equal, here and in every resample.
    assert difference["value"] == pytest.approx(0, abs=1e-6)
    assert difference["interval"] is None


def test_without_latency_and_without_disagreements(folder, weights, tmp_path):
    twin = shutil.copy(weights[0], tmp_path / "twin.safetensors")
    arguments = ["compare", folder / "store", weights[0], twin, "--no-latency"]
    arguments += ["--device", "cpu", "--threads", 1, "--report", tmp_path / "report"]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.stderr
    assert "answered differently: 0 pairs" in result.stderr
    page = (tmp_path / "report" / "comparison.html").read_text(encoding="utf-8")
    assert "and latency" not in page
    assert "no difference shown" in page


def test_names_of_files_do_not_write_on_the_terminal(folder, weights, tmp_path):
    other = shutil.copy(weights[1], tmp_path / "\x1b[2J\u202egpj.safetensors")
    arguments = ["compare", folder / "store", weights[0], other, "--no-latency", "--threads", 1]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.stderr
    assert r"\x1b[2J\u202egpj" in result.stderr
    assert not {"\x1b", "\u202e"} & set(result.stderr)


def test_a_single_pair_is_not_told_as_several(folder, weights, tmp_path):
    path = tmp_path / "images" / "Happy" / "0.png"
    path.parent.mkdir(parents=True)
    Image.new("RGB", (64, 48), (60, 90, 30)).save(path)
    making = PairMaking(boxes=BoxSource.WHOLE)
    preprocess(PreprocessConfig(tmp_path / "images", tmp_path / "store", making, workers=1))
    twin = shutil.copy(weights[0], tmp_path / "twin.safetensors")
    run = ["--device", "cpu", "--threads", 1, "--report"]
    said = ""
    for words in (
        ["compare", tmp_path / "store", weights[0], twin, "--no-latency", *run, tmp_path / "both"],
        ["evaluate", tmp_path / "store", "--weights", weights[0], *run, tmp_path / "one"],
        ["store", "verify", tmp_path / "store"],
    ):
        result = CliRunner().invoke(app, list(map(str, words)))
        assert result.exit_code == 0, result.stderr
        said += result.stderr
    for expected in ("\n1 pair of ", "% of 1 pair right", ": 1 pair, all intact"):
        assert expected in said
    for page in ("both/comparison.html", "one/report.html"):
        said += (tmp_path / page).read_text(encoding="utf-8")
    assert not re.search(r"\b1 pairs", said)
    metrics = compute_metrics(np.eye(7, dtype=np.float32)[:1], np.zeros(1, np.int64), EMOTIONS)
    assert draw_confusion(metrics).axes[0].get_title().startswith("100.0% of 1 pair right")


def test_every_figure_of_a_confusion_can_be_read_on_its_colour():
    """By WCAG 2.2, which asks for a contrast of 4.5 of text of this size."""

    def luminance(colour):
        red, green, blue = (
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
            for part in to_rgb(colour)
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    for right in range(0, 101, 4):
        answers = np.eye(7, dtype=np.float32)[[0] * right + [1] * (100 - right)]
        axes = draw_confusion(compute_metrics(answers, np.zeros(100, int), EMOTIONS)).axes[0]
        (image,) = axes.images
        for text in axes.texts:
            column, row = text.get_position()
            paper = luminance(image.cmap(image.norm(image.get_array()[row, column])))
            ink = luminance(text.get_color())
            light, dark = max(paper, ink), min(paper, ink)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, text.get_text()


def test_classes_that_differ_equally_often_keep_their_order(folder, weights, tmp_path):
    files = []
    for answer in (0, 1):
        network, metadata = load_network(weights[0])
        network.classifier.logits.bias.data[answer] += 1e4
        files.append(tmp_path / f"always-{answer}.safetensors")
        save_network(files[-1], network, metadata)
    arguments = ["compare", folder / "store", *files, "--no-latency", "--device", "cpu"]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.stderr
    first = [
        f"{name} {count} of {count}" for name, count in zip(EMOTIONS[:3], (4, 4, 3), strict=True)
    ]
    assert f"answered differently: 23 pairs; most often: {', '.join(first)}" in result.stderr


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("glamor-original",), "needs at least two networks, not 1"),
        (("glamor-original", "glamor-original"), "given twice"),
        (tuple(f"w{i}.onnx" for i in range(27)), "takes at most 26 networks, not 27"),
    ],
)
def test_what_cannot_be_compared(folder, names, said):
    with pytest.raises(ConfigError, match=said):
        CompareConfig(folder / "store", names)


def test_what_is_not_there(folder, weights):
    result = CliRunner().invoke(
        app, ["compare", str(folder / "store"), str(weights[0]), "nobody.onnx"]
    )
    assert isinstance(result.exception, ConfigError)
    result = CliRunner().invoke(app, ["compare", str(folder), *map(str, weights)])
    assert isinstance(result.exception, DataError)


def test_the_provider_runs_the_onnx_files_and_no_others(folder, weights, tmp_path):
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    arguments = ["compare", folder / "store", DEFAULT_WEIGHTS, weights[0], "--no-latency"]
    arguments += ["--provider", "openvino", "--threads", 1, "--json", tmp_path / "figures.json"]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.stderr
    networks = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))["networks"]
    assert [one["runtime"]["backend"] for one in networks] == ["openvino", "torch"]


def test_a_provider_for_nothing_is_refused(folder, weights):
    config = CompareConfig(folder / "store", tuple(weights), provider="openvino")
    with pytest.raises(ConfigError, match="there are none among these"):
        compare_store(config)


def test_names_keep_what_tells_them_apart():
    assert shorten_names(["runs/a/best.safetensors", "runs/b/best.safetensors"]) == [
        "a/best.safetensors",
        "b/best.safetensors",
    ]
    assert shorten_names(["glamor-original", "runs/a/best.safetensors"]) == [
        "glamor-original",
        "runs/a/best.safetensors",
    ]
    assert shorten_names(["/x/one.onnx", "/x/two.onnx"]) == ["one.onnx", "two.onnx"]
    assert shorten_names(["runs/one.onnx", "/x/two.onnx"]) == ["runs/one.onnx", "/x/two.onnx"]


def test_names_on_two_drives_stay_whole(monkeypatch):
    names = ["C:/runs/one.onnx", "D:/runs/two.onnx"]
    with monkeypatch.context() as windows:
        windows.setattr(os.path, "commonpath", ntpath.commonpath)
        shown = shorten_names(names)
    assert shown == names
