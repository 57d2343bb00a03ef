"""The attention of a real network on a real store: the same figures by another way, and files."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from scene_stores import write_scene_store
from typer.testing import CliRunner

from glamor_cli.cli.app import app
from glamor_cli.cli.attention import _print
from glamor_cli.cli.render import console
from glamor_cli.data.preprocess.run import PreprocessConfig, preprocess
from glamor_cli.data.store.pair_store import PairStore
from glamor_cli.errors import BackendUnavailable, ConfigError, DataError
from glamor_cli.evaluation.attention.cues import find_cues
from glamor_cli.evaluation.attention.figures import draw_gallery, draw_hiding
from glamor_cli.evaluation.attention.grad_cam import GradCam
from glamor_cli.evaluation.attention.hiding import HidingConfig
from glamor_cli.evaluation.attention.measure import measure_attention
from glamor_cli.evaluation.attention.options import MapKind
from glamor_cli.evaluation.attention.run import AttentionConfig, measure_store
from glamor_cli.evaluation.attention.summary import summarise_streams, to_dict
from glamor_cli.evaluation.evaluate import evaluate
from glamor_cli.network.config import NetworkConfig, Variant
from glamor_cli.network.glamor_net import GlamorNet
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.weights.metadata import Metadata
from glamor_cli.weights.network_file import load_network, save_network
from glamor_cli.weights.registry import DEFAULT_WEIGHTS, find_weights

FEW = HidingConfig(regions=2, steps=2)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Fourteen scenes, their store, and weights whose answers and attention vary."""
    root = tmp_path_factory.mktemp("attention")
    write_scene_store(root, train=0, validation=0, test=14)
    for variant in (Variant.FULL, Variant.FACE_ONLY):
        torch.manual_seed(0)
        network = GlamorNet(NetworkConfig(variant=variant)).eval()
        torch.nn.init.normal_(network.classifier.logits.weight, 0, 0.4)
        if network.attention is not None:
            torch.nn.init.normal_(network.attention.score.weight, 0, 1)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_var.uniform_(0.05, 0.3)
        metadata = Metadata(variant.value, network=network.config)
        save_network(root / f"{variant}.safetensors", network, metadata)
    return root


@pytest.fixture(scope="module")
def report(root):
    config = AttentionConfig(
        root / "pairs",
        root / "full.safetensors",
        scenes=root / "scenes",
        grad_cam=True,
        batch=5,
        hiding=FEW,
        threads=1,
    )
    return measure_store(config)


def test_batches_and_other_maps_do_not_change_what_chance_draws(root, report):
    alone = measure_store(replace(report.config, batch=14, grad_cam=False))
    np.testing.assert_allclose(alone.random_costs.drops, report.random_costs.drops, atol=1e-6)
    for name in ("deletion", "insertion"):
        np.testing.assert_allclose(
            getattr(alone.random_curves, name), getattr(report.random_curves, name), atol=1e-6
        )


def test_the_figures_are_those_of_the_evaluation(root, report):
    split = PairStore.open(root / "pairs").split("test")
    whole = evaluate(open_runtime(root / "full.safetensors", threads=1), split)
    assert (len(report.labels), report.available) == (14, 14)
    assert report.sources == whole.sources
    np.testing.assert_allclose(report.probabilities, whole.probabilities, atol=1e-5)
    cues = find_cues(split, root / "scenes")
    assert report.methods["attention"].place == measure_attention(
        report.methods["attention"].maps, cues
    )
    np.testing.assert_allclose(report.methods["attention"].maps, whole.attention, atol=1e-5)
    for name, one in summarise_streams(report).items():
        own = whole.labels == report.classes.index(name)
        assert one.mean == pytest.approx(whole.stream_weights[own, 1].mean(), abs=1e-5)
        assert one.count == 2


def test_grad_cam_is_its_formula(root, report):
    split = PairStore.open(root / "pairs").split("test")
    faces, contexts = (torch.from_numpy(values) for values in split.pairs(slice(0, 14)))
    network, _ = load_network(root / "full.safetensors")
    with torch.no_grad():
        face_map, context_map = network.face_encoder(faces), network.context_encoder(contexts)
    context_map.requires_grad_()
    logits = network.answer(face_map, context_map).logits
    logits.max(dim=1).values.sum().backward()
    weights = context_map.grad.mean(dim=(2, 3), keepdim=True)
    expected = (weights * context_map).sum(dim=1).relu().detach()
    sums = expected.sum(dim=(1, 2), keepdim=True)
    expected = torch.where(sums > 0, expected / sums.clamp_min(1e-30), 0).numpy()
    found = report.methods["grad_cam"].maps
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert found.std(axis=(1, 2)).max() > 0.002


def test_entropy_tells_one_cell_from_all(report):
    one = report.methods["attention"]
    even = np.full_like(one.maps, 1 / 49)
    single = np.zeros_like(one.maps)
    single[:, 3, 3] = 1
    assert type(one)(even, *_rest(one)).entropy == pytest.approx(np.ones(14), abs=1e-6)
    assert type(one)(single, *_rest(one)).entropy == pytest.approx(np.zeros(14))
    assert ((one.entropy > 0) & (one.entropy < 1)).all()
    # Grad-CAM's may be empty: such a map points nowhere, as an even one.
    assert type(one)(np.zeros_like(even), *_rest(one)).entropy.tolist() == [1] * 14


def test_hiding_takes_from_the_answers_probability(report):
    values = to_dict(report)
    for method in values["methods"].values():
        assert method["deletion"][0] == pytest.approx(report.probabilities.max(axis=1).mean())
        assert method["deletion"][-1] == method["insertion"][0]
        assert method["deletion"][0] == method["insertion"][-1]
    chance = values["random_order"]
    assert chance["deletion"][-1] == values["methods"]["attention"]["deletion"][-1]
    hiding = values["methods"]["attention"]["hiding"]
    if hiding["ratio"] is not None:
        assert hiding["ratio"] == pytest.approx(hiding["attended"] / hiding["random"])
    assert hiding["accuracy"] == values["accuracy"] == report.right.mean()


def test_a_sample_follows_from_its_seed(root):
    def sources(seed, pairs=5):
        config = AttentionConfig(
            root / "pairs", root / "full.safetensors", pairs=pairs, seed=seed, hiding=FEW, threads=1
        )
        return measure_store(config).sources

    assert sources(1) == sources(1)
    assert len(set(sources(1))) == 5
    assert sources(1) != sources(2)


@pytest.mark.parametrize("columns", [80, 36])
def test_the_tables_are_whole_in_any_number_of_columns(report, capsys, monkeypatch, columns):
    monkeypatch.setattr(console, "_width", columns)
    _print(report)
    shown = capsys.readouterr().err
    assert "…" not in shown
    lines = " ".join(shown.split())
    for words in ("attention in the cue's cells", "context's share", "by chance", "entropy"):
        assert words in lines


def test_the_command_writes_figures_and_pictures(root, tmp_path):
    arguments = ["attention", str(root / "pairs"), "--weights", str(root / "full.safetensors")]
    arguments += ["--scenes", str(root / "scenes"), "--gradcam", "--pairs", "8", "--threads", "1"]
    arguments += ["--regions", "1", "--steps", "2", "--fill", "blur"]
    arguments += ["--json", str(tmp_path / "a.json"), "--save", str(tmp_path / "pictures")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    for words in ("peak at the cue", "Grad-CAM", "deletion", "context's share"):
        assert words in result.stderr
    values = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert values["count"] == 8
    assert set(values["methods"]) == {"attention", "grad_cam"}
    assert values["methods"]["grad_cam"]["place"]["count"] == 8
    assert values["environment"]["captum"]
    assert values["hiding"]["fill"] == "blur"
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == ["gallery.png", "hiding.png", "streams.png"]
    for name in names:
        with Image.open(tmp_path / "pictures" / name) as picture:
            assert picture.width > 900
            assert np.asarray(picture.convert("L")).std() > 10


@pytest.mark.parametrize("pairs", [1, 2, 4, 7])
def test_headings_and_captions_lie_inside_the_gallery_and_apart(report, pairs):
    figure = draw_gallery(replace(report, shown=report.shown[:pairs]))
    FigureCanvasAgg(figure).draw()
    places = [axes.title.get_window_extent() for axes in figure.axes if axes.get_title()]
    places += [text.get_window_extent() for axes in figure.axes for text in axes.texts]
    note = next(text for text in figure.texts if "disc" in text.get_text()).get_window_extent()
    assert note.y0 > 0
    for place in places:
        assert place.y1 < figure.bbox.y1
        assert place.y0 > note.y1


def test_the_gallery_has_the_order_of_the_networks_classes(root, report, tmp_path):
    network, metadata = load_network(root / "full.safetensors")
    turned = replace(metadata, classes=metadata.classes[::-1])
    save_network(tmp_path / "turned.safetensors", network, turned)
    config = replace(report.config, weights=tmp_path / "turned.safetensors", grad_cam=False)
    drawn = measure_store(config)
    assert drawn.labels[0] > drawn.labels[-1]
    assert [int(drawn.labels[pair.row]) for pair in drawn.shown] == list(range(7))


def test_the_gallery_says_where_no_face_was_found(root, report, tmp_path):
    names = tmp_path / "images" / "Happy"
    names.mkdir(parents=True)
    Image.new("RGB", (64, 48), (60, 90, 30)).save(names / "plain.png")
    preprocess(PreprocessConfig(tmp_path / "images", tmp_path / "pairs", workers=1))
    config = AttentionConfig(
        tmp_path / "pairs", root / "full.safetensors", split="all", hiding=FEW, threads=1
    )
    for one, expected in ((measure_store(config), 1), (report, 0)):
        said = [text.get_text() for axes in draw_gallery(one).axes for text in axes.texts]
        assert said.count("no face\nwas found") == expected
    (note,) = draw_gallery(measure_store(config)).texts
    assert note.get_text() == "full; a pair of one class"


def test_a_curve_that_hardly_falls_lies_below_the_top(report):
    flat = replace(report.random_curves, deletion=np.full_like(report.random_curves.deletion, 0.9))
    deletion, *_ = draw_hiding(replace(report, random_curves=flat)).axes
    assert deletion.get_ylim()[1] > 0.94


def test_a_cost_of_next_to_nothing_looks_like_nothing(report):
    """So it is with the shipped weights, which hardly look at the context."""
    nothing = np.full_like(report.random_costs.drops, -0.0002)
    attention = report.methods[MapKind.ATTENTION]
    attention = replace(attention, costs=replace(attention.costs, drops=nothing))
    random_costs = replace(report.random_costs, drops=nothing)
    measured = replace(report, methods={MapKind.ATTENTION: attention}, random_costs=random_costs)
    *_, costs = draw_hiding(measured).axes
    assert {text.get_text() for text in costs.texts} == {"0.000"}
    low, high = costs.get_xlim()
    assert low <= -0.0002
    assert high - low > 0.04


def test_a_ratio_whose_interval_has_no_upper_end_is_not_shown(root, report):
    arguments = ["attention", str(root / "pairs"), "--weights", str(root / "full.safetensors")]
    arguments += ["--pairs", "2", "--seed", "1", "--regions", "1", "--steps", "2"]
    arguments += ["--threads", "1", "--device", "cpu", "--json", "-"]
    result = CliRunner().invoke(app, arguments)
    hiding = json.loads(result.stdout)["methods"]["attention"]["hiding"]
    assert hiding["ratio"] is not None
    assert hiding["ratio_interval"] is None
    assert re.search(r"times a random square\s*│\s*-\s*│", result.stderr), result.stderr
    # Where only one pair has a cost, many resamples hold none.
    drops = np.zeros_like(report.random_costs.drops)
    drops[0] = 0.1
    random_costs = replace(report.random_costs, drops=drops)
    *_, costs = draw_hiding(replace(report, random_costs=random_costs)).axes
    assert costs.get_xlabel() == "fall of the answer's probability"


def test_data_without_cues_and_an_onnx_file_do_too(root, onnx_file):
    arguments = ["attention", str(root / "pairs"), "--weights", str(onnx_file), "--pairs", "4"]
    arguments += ["--regions", "1", "--steps", "2", "--threads", "1", "--json", "-"]
    result = CliRunner().invoke(app, [*arguments, "--device", "cpu"])
    assert result.exit_code == 0, result.stderr
    assert "peak at the cue" not in result.stderr
    values = json.loads(result.stdout)
    assert not Path("-").exists()
    assert values["methods"]["attention"]["place"] is None
    assert values["runtime"]["provider"] == "CPUExecutionProvider"


@pytest.fixture
def onnx_file():
    return find_weights(DEFAULT_WEIGHTS, suffix=".onnx")


def forget_captum(monkeypatch):
    """Let Captum be imported anew, whichever test has imported it."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "captum"]:
        monkeypatch.delitem(sys.modules, name)


class NoCaptum:
    """A finder for which no Captum is installed."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "captum":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_what_cannot_be_measured_is_said(root, onnx_file, monkeypatch):
    with pytest.raises(ConfigError, match="no attention"):
        measure_store(AttentionConfig(root / "pairs", root / "face-only.safetensors"))
    with pytest.raises(ConfigError, match="no context stream"):
        GradCam(root / "face-only.safetensors")
    with pytest.raises(ConfigError, match="gradients"):
        measure_store(AttentionConfig(root / "pairs", onnx_file, grad_cam=True, device="cpu"))
    with pytest.raises(ConfigError) as refused:
        measure_store(AttentionConfig(root / "pairs", "nosuch", grad_cam=True))
    assert ".onnx" not in refused.value.remedy
    with pytest.raises(ConfigError):
        AttentionConfig(root / "pairs", pairs=0)
    # No weights would do for both.
    with pytest.raises(ConfigError, match="Leave --gradcam or --provider out"):
        AttentionConfig(root / "pairs", grad_cam=True, provider="CPUExecutionProvider")
    with pytest.raises(DataError):
        measure_store(
            AttentionConfig(root / "pairs", root / "full.safetensors", scenes=root / "pairs")
        )
    forget_captum(monkeypatch)
    monkeypatch.setattr(sys, "meta_path", [NoCaptum, *sys.meta_path])
    with pytest.raises(BackendUnavailable, match="Captum") as caught:
        GradCam(root / "full.safetensors")
    assert "--extra attribution" in caught.value.remedy


def test_a_captum_that_does_not_load_is_told_from_one_that_is_not_there(tmp_path, monkeypatch):
    (tmp_path / "captum").mkdir()
    (tmp_path / "captum" / "__init__.py").write_text("raise ImportError('built for another torch')")
    monkeypatch.syspath_prepend(tmp_path)
    forget_captum(monkeypatch)
    with pytest.raises(BackendUnavailable, match="captum does not load"):
        GradCam(tmp_path / "any.safetensors")


def _rest(measures):
    return measures.costs, measures.curves, measures.place, measures.place_right


def test_the_provider_is_what_measures(root):
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    config = AttentionConfig(
        root / "pairs", DEFAULT_WEIGHTS, pairs=2, hiding=FEW, threads=1, provider="openvino"
    )
    assert measure_store(config).engine.backend == "openvino"
    with pytest.raises(ConfigError, match="providers run only ONNX files"):
        measure_store(replace(config, weights=root / "full.safetensors"))
