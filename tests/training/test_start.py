"""What a training begins with: other weights, in whole or in part."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from quick_training import QUICK, config
from safetensors.torch import load_file
from typer.testing import CliRunner

from glamor_cli.cli.app import app
from glamor_cli.errors import ConfigError
from glamor_cli.files.reading import sha256
from glamor_cli.labels import EMOTIONS
from glamor_cli.network.config import Encoder, NetworkConfig, Variant
from glamor_cli.network.glamor_net import GlamorNet
from glamor_cli.training.config import BEST, CONFIG
from glamor_cli.training.recipes import FER2013_CONTEXT
from glamor_cli.training.start import load_initial_weights, make_network
from glamor_cli.training.trainer import train
from glamor_cli.weights.network_file import load_network, read_metadata, save_network
from glamor_cli.weights.registry import find_weights


def test_a_frozen_face_encoder_is_kept_to_the_bit(
    scene_store: Path, undisturbed: Path, tmp_path: Path
) -> None:
    recipe = replace(QUICK, epochs=1, freeze_face=True, ema_decay=0.0)
    start = undisturbed / BEST
    run = config(
        scene_store, tmp_path / "run", recipe, network=NetworkConfig(), initial_weights=start
    )
    train(run)
    before, after = load_file(start), load_file(tmp_path / "run" / BEST)
    kept = [name for name in before if name.startswith("face_encoder.")]
    assert kept
    assert all(torch.equal(before[name], after[name]) for name in kept)


def test_a_frozen_face_encoder_is_tied_to_the_brightness_before_the_rest_learns(
    scene_store: Path, undisturbed: Path, tmp_path: Path
) -> None:
    recipe = replace(QUICK, epochs=1, freeze_face=True, see_in_gray=True)
    run = config(
        *(scene_store, tmp_path / "run", recipe),
        network=NetworkConfig(),
        initial_weights=undisturbed / BEST,
    )
    begun = make_network(run, EMOTIONS).face_encoder
    colourful, _ = load_network(undisturbed / BEST)
    first = colourful.face_encoder.blocks[0].conv.weight
    assert not torch.equal(begun.blocks[0].conv.weight, first)
    train(run)
    kept, _ = load_network(tmp_path / "run" / BEST)
    for name, value in begun.state_dict().items():
        assert torch.equal(value, kept.face_encoder.state_dict()[name]), name


def test_norms_may_keep_the_statistics_they_begin_with(
    scene_store: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """A momentum of 0 is one, and does not mean the network's own."""
    recipe = replace(QUICK, epochs=1, norm_momentum=0.0, ema_decay=0.0)
    train(config(scene_store, tmp_path / "run", recipe, initial_weights=undisturbed / BEST))
    before, after = (load_file(run / BEST) for run in (undisturbed, tmp_path / "run"))
    kept = [name for name, value in before.items() if torch.equal(value, after[name])]
    assert kept == [name for name in before if "running" in name]


def test_a_face_encoder_that_has_learnt_nothing_is_not_frozen(
    scene_store: Path, tmp_path: Path
) -> None:
    run = config(scene_store, tmp_path / "run", FER2013_CONTEXT, network=NetworkConfig())
    with pytest.raises(ConfigError, match="which has learnt nothing yet") as refused:
        train(run)
    assert "--init" in refused.value.remedy
    assert not run.run.exists()


def test_a_whole_network_begins_with_the_answers_of_a_face_only_one(
    scene_store: Path, undisturbed: Path
) -> None:
    face_only, _ = load_network(undisturbed / BEST)
    assert face_only.config.variant is Variant.FACE_ONLY
    network = GlamorNet(NetworkConfig()).eval()
    load_initial_weights(network, undisturbed / BEST, EMOTIONS)
    face, context = torch.rand(2, 3, 96, 96), torch.rand(2, 3, 112, 112)
    with torch.inference_mode():
        alone = network.classifier(
            torch.cat((network.face_encoder(face).mean(dim=(2, 3)), torch.rand(2, 256)), dim=1)
        )
        expected = face_only(face, context).logits
    assert torch.allclose(alone, expected, atol=1e-5)


def test_a_whole_network_begins_with_the_answers_of_a_context_only_one(tmp_path: Path) -> None:
    context_only = GlamorNet(NetworkConfig(variant=Variant.CONTEXT_ONLY)).eval()
    metadata = replace(read_metadata(find_weights("glamor-original")), network=context_only.config)
    save_network(tmp_path / "context.safetensors", context_only, metadata)
    network = GlamorNet(NetworkConfig()).eval()
    load_initial_weights(network, tmp_path / "context.safetensors", metadata.classes)
    looked_at = torch.rand(2, 256)
    with torch.inference_mode():
        alone = network.classifier(torch.cat((torch.rand(2, 256), looked_at), dim=1))
        expected = context_only.classifier(looked_at)
    assert torch.allclose(alone, expected, atol=1e-5)


@pytest.mark.parametrize("variant", [Variant.FACE_ONLY, Variant.CONTEXT_ONLY])
def test_a_network_of_one_stream_begins_with_that_half_of_a_whole_one(variant: Variant) -> None:
    start = find_weights("glamor-original")
    whole, metadata = load_network(start)
    network = GlamorNet(NetworkConfig(variant=variant)).eval()
    load_initial_weights(network, start, metadata.classes)
    seen, unseen = torch.rand(2, 256), torch.zeros(2, 256)
    both = (seen, unseen) if variant.has_face else (unseen, seen)
    with torch.inference_mode():
        expected = whole.classifier(torch.cat(both, dim=1))
        assert torch.allclose(network.classifier(seen), expected, atol=1e-5)
    encoder = "face_encoder." if variant.has_face else "context_encoder."
    theirs = whole.state_dict()
    kept = {name: v for name, v in network.state_dict().items() if name.startswith(encoder)}
    assert kept
    assert all(torch.equal(value, theirs[name]) for name, value in kept.items())


def test_what_fits_only_by_chance_is_not_a_start(undisturbed: Path) -> None:
    """The classifiers of all encoders have one shape; outputs of other emotions mean others."""
    start = undisturbed / BEST
    resnet = GlamorNet(NetworkConfig(encoder=Encoder.RESNET18, variant=Variant.FACE_ONLY))
    with pytest.raises(ConfigError, match=r"no encoder of .* fits this network"):
        load_initial_weights(resnet, start, EMOTIONS)
    network = GlamorNet(NetworkConfig(variant=Variant.FACE_ONLY))
    fresh = network.classifier.logits.weight.clone()
    load_initial_weights(network, start, EMOTIONS[::-1])
    tensors = load_file(start)
    assert torch.equal(network.classifier.logits.weight, fresh)
    assert torch.equal(network.classifier.hidden.weight, tensors["classifier.hidden.weight"])
    load_initial_weights(network, start, EMOTIONS)
    assert torch.equal(network.classifier.logits.weight, tensors["classifier.logits.weight"])


def test_other_weights_can_be_the_start(
    scene_store: Path, undisturbed: Path, tmp_path: Path
) -> None:
    recipe = replace(QUICK, epochs=1, learning_rate=0.0, ema_decay=0.0)
    start = undisturbed / BEST
    run = config(
        scene_store, tmp_path / "run", recipe, network=NetworkConfig(), initial_weights=start
    )
    train(run)
    before, after = load_file(start), load_file(tmp_path / "run" / BEST)
    name = "face_encoder.blocks.4.conv.weight"
    assert torch.equal(before[name], after[name])


def test_a_face_encoder_that_learnt_nothing_is_not_kept_still(
    scene_store: Path, tmp_path: Path
) -> None:
    of_contexts = config(
        scene_store,
        tmp_path / "context",
        replace(QUICK, epochs=1),
        network=NetworkConfig(variant=Variant.CONTEXT_ONLY),
    )
    train(of_contexts)
    recipe = replace(QUICK, epochs=1, freeze_face=True)
    run = config(
        scene_store,
        tmp_path / "run",
        recipe,
        network=NetworkConfig(),
        initial_weights=tmp_path / "context" / BEST,
    )
    with pytest.raises(ConfigError, match="has learnt nothing yet"):
        train(run)
    assert not (tmp_path / "run" / BEST).exists()


def test_the_command_starts_from_weights_by_name(scene_store: Path, tmp_path: Path) -> None:
    arguments = ["train", scene_store, "--run", tmp_path / "run", "--epochs", "1", "--threads", "1"]
    named = ["--init", "glamor-original", "--teacher", "glamor-original", "--teacher-share", "0.8"]
    result = CliRunner().invoke(app, [*map(str, arguments), *named, "--mix", "0.3"])
    assert result.exit_code == 0, result.output
    settings = json.loads((tmp_path / "run" / CONFIG).read_text())
    assert Path(settings["initial_weights"]).name == "glamor-original.safetensors"
    assert settings["teacher_sha256"] == sha256(Path(settings["teacher"]))
    assert settings["initial_sha256"] == settings["teacher_sha256"]
    assert settings["recipe"]["teacher_share"] == 0.8
    assert settings["recipe"]["mix"] == 0.3
    exported = find_weights("glamor-original", suffix=".onnx")
    arguments[3] = tmp_path / "another"
    refused = CliRunner().invoke(app, [*map(str, arguments), "--teacher", str(exported)])
    assert "is not a classifier of faces" in str(refused.exception)
    refused = CliRunner().invoke(app, [*map(str, arguments), "--init", str(exported)])
    assert "training cannot read the exported file" in str(refused.exception)
    alone = CliRunner().invoke(app, [*map(str, arguments), "--teacher-share", "1"])
    assert "--teacher-share is given, but there is no teacher" in str(alone.exception)
    missing = CliRunner().invoke(app, [*map(str, arguments), "--init", "nobody"])
    assert isinstance(missing.exception, ConfigError)
