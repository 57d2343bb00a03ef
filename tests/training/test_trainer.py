"""A training that is stopped anywhere and resumed computes what an undisturbed one would have."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from little_room import run_with_little_room
from safetensors.torch import load_file
from small_data_sets import write_authors_data_set
from typer.testing import CliRunner

from glamor_cli.cli.app import app
from glamor_cli.data.pair_options import BoxSource, PairMaking
from glamor_cli.data.preprocess import PreprocessConfig, preprocess
from glamor_cli.data.store import PairStore
from glamor_cli.data.store_format import STORE_FILE
from glamor_cli.errors import CheckpointError, ConfigError, DataError
from glamor_cli.evaluation.evaluate import evaluate
from glamor_cli.labels import EMOTIONS
from glamor_cli.network.config import Encoder, NetworkConfig, Variant
from glamor_cli.network.glamor_net import GlamorNet
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.training.checkpoints import (
    AVERAGE,
    DAMAGED,
    LAST,
    PREVIOUS,
    has_checkpoint,
    lock_run,
)
from glamor_cli.training.config import CONFIG, TrainConfig
from glamor_cli.training.precision_kind import TrainPrecision
from glamor_cli.training.recipes import MODERN, PAPER, Recipe, SmallFaces, find_recipe
from glamor_cli.training.rows import choose_rows
from glamor_cli.training.start import load_initial_weights
from glamor_cli.training.trainer import BEST, CURVES, METRICS, Progress, train
from glamor_cli.weights import find_weights, load_network, read_metadata, save_network, sha256

QUICK = replace(MODERN, name="quick", epochs=2, batch_size=8, ema_decay=0.9)


def config(store: Path, run: Path, recipe: Recipe = QUICK, **changes: object) -> TrainConfig:
    values = {"network": NetworkConfig(variant=Variant.FACE_ONLY), "threads": 1} | changes
    return TrainConfig(store=store, run=run, recipe=recipe, **values)


def outcome(run: Path) -> tuple[dict[str, torch.Tensor], list[dict[str, float]]]:
    """The kept weights and the metrics, without those that measure time."""
    lines = [json.loads(line) for line in (run / METRICS).read_text().splitlines()]
    for line in lines:
        del line["seconds"], line["images_per_second"]
    return load_file(run / BEST), lines


def assert_same(one: Path, other: Path) -> None:
    weights, metrics = outcome(one)
    other_weights, other_metrics = outcome(other)
    assert metrics == other_metrics
    assert weights.keys() == other_weights.keys()
    for name, value in weights.items():
        assert torch.equal(value, other_weights[name]), name


@pytest.fixture(scope="module")
def undisturbed(scene_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    assert train(config(scene_store, run)).finished
    return run


def test_a_run_leaves_weights_metrics_and_curves(undisturbed: Path) -> None:
    metadata = read_metadata(undisturbed / BEST)
    assert metadata.network.variant is Variant.FACE_ONLY
    lines = [json.loads(line) for line in (undisturbed / METRICS).read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert metadata.accuracy["validation"] == max(line["validation_accuracy"] for line in lines)
    assert (undisturbed / CURVES).read_bytes().startswith(b"\x89PNG")
    assert open_runtime(undisturbed / BEST, device="cpu").metadata == metadata


def test_what_is_kept_is_the_best_epoch(scene_store: Path, undisturbed: Path) -> None:
    """It was judged as it is kept: what it answers has the loss that is written down."""
    lines = [json.loads(line) for line in (undisturbed / METRICS).read_text().splitlines()]
    losses = [line["validation_loss"] for line in lines]
    assert losses[0] != pytest.approx(losses[1], rel=1e-3), "else it could be either epoch's"
    split = PairStore.open(scene_store).split("validation")
    found = evaluate(open_runtime(undisturbed / BEST, device="cpu", threads=1), split)
    right = found.probabilities[np.arange(len(split)), found.labels]
    best = max(lines, key=lambda line: line["validation_accuracy"])
    assert -np.log(right).mean() == pytest.approx(best["validation_loss"], rel=1e-4)
    assert found.metrics.accuracy == best["validation_accuracy"]


def test_what_is_kept_is_the_moving_average(scene_store: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(config(scene_store, run, replace(QUICK, epochs=1)))
    best, last = load_file(run / BEST), load_file(run / LAST)
    assert all(torch.equal(value, last[AVERAGE + name]) for name, value in best.items())
    assert not any(torch.equal(value, last[f"network/{name}"]) for name, value in best.items())


def test_same_seed_same_numbers(scene_store: Path, undisturbed: Path, tmp_path: Path) -> None:
    train(config(scene_store, tmp_path / "again"))
    assert_same(undisturbed, tmp_path / "again")


def test_deterministic_training_has_the_same_numbers(
    scene_store: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the CPU it changes nothing but what torch is asked for, and only while it trains."""
    asked: list[bool] = []
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    train(
        config(scene_store, tmp_path / "run", deterministic=True),
        on_progress=lambda _: asked.append(torch.are_deterministic_algorithms_enabled()),
    )
    assert set(asked) == {True}
    assert not torch.are_deterministic_algorithms_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert_same(undisturbed, tmp_path / "run")


def test_deterministic_training_of_the_whole_network(scene_store: Path, tmp_path: Path) -> None:
    """Every operation of the whole network and its augmentation is allowed."""
    recipe = replace(QUICK, epochs=1, synthetic_contexts=0.5, gradient_clip=0.5)
    for run in ("one", "two"):
        train(
            config(scene_store, tmp_path / run, recipe, network=NetworkConfig(), deterministic=True)
        )
    assert_same(tmp_path / "one", tmp_path / "two")


def test_checkpoints_may_be_as_frequent_as_steps(
    scene_store: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """And how frequent they are does not make a resumed run another."""
    found: list[bool] = []

    def look(progress: Progress) -> None:
        found.append((tmp_path / "run" / LAST).exists())
        if progress.step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    train(config(scene_store, tmp_path / "run", checkpoint_every=0.0), on_progress=look)
    assert found == [False, True, True]
    assert train(config(scene_store, tmp_path / "run"), resume=True).finished
    assert_same(undisturbed, tmp_path / "run")


@pytest.mark.parametrize("stop_after", [1, 4, 5])
def test_a_stopped_run_resumes_to_the_same_numbers(
    scene_store: Path, undisturbed: Path, tmp_path: Path, stop_after: int
) -> None:
    steps = 0

    def stop(_: object) -> None:
        nonlocal steps
        steps += 1
        if steps == stop_after:
            os.kill(os.getpid(), signal.SIGINT)

    run = config(scene_store, tmp_path / "run")
    assert not train(run, on_progress=stop).finished
    assert steps == stop_after
    assert train(run, resume=True).finished
    assert_same(undisturbed, tmp_path / "run")


@pytest.fixture(scope="module")
def twice_stopped(scene_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run stopped after its first and its second step, so that it has two checkpoints."""

    def stop(_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    folder = tmp_path_factory.mktemp("twice-stopped") / "run"
    for resume in (False, True):
        stopped = train(config(scene_store, folder), resume=resume, on_progress=stop)
        assert not stopped.finished
    assert (folder / PREVIOUS).exists()
    return folder


def flip(data: bytes, place: int, bit: int = 0) -> bytes:
    return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


DAMAGES = {
    "truncated": lambda data: data[:-1000],
    "bit in a tensor": lambda data: flip(data, len(data) - 1000),
    # Without a checksum, step 2 would be taken for step 3, and one be left out.
    "bit in the place": lambda data: flip(data, data.index(b'step\\": 2') + 8),
    "bit in the header's length": lambda data: flip(data, 6),
    "empty": lambda _: b"",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_told_and_the_one_before_used(
    scene_store: Path, undisturbed: Path, twice_stopped: Path, tmp_path: Path, damage: str
) -> None:
    folder = shutil.copytree(twice_stopped, tmp_path / "run")
    last = folder / LAST
    last.write_bytes(DAMAGES[damage](last.read_bytes()))
    told: list[Path] = []
    steps: list[int] = []
    result = train(
        config(scene_store, folder),
        resume=True,
        on_progress=lambda progress: steps.append(progress.step),
        on_damaged=lambda path, _: told.append(path),
    )
    assert result.finished
    assert told == [last]
    assert steps[0] == 2, "it goes on after the first step"
    assert_same(undisturbed, folder)


def test_a_damaged_checkpoint_never_takes_the_place_of_the_whole_one(
    scene_store: Path, twice_stopped: Path, tmp_path: Path
) -> None:
    """The next checkpoint would make it the one before; a kill then would leave nothing."""
    folder = shutil.copytree(twice_stopped, tmp_path / "run")
    last, whole = folder / LAST, (folder / PREVIOUS).read_bytes()
    last.write_bytes(last.read_bytes()[:-1000])
    seen: list[tuple[bool, bool]] = []

    def look(progress: Progress) -> None:
        seen.append((last.exists(), (folder / PREVIOUS).read_bytes() == whole))
        if len(seen) == 3:
            os.kill(os.getpid(), signal.SIGINT)

    train(config(scene_store, folder, checkpoint_every=0.0), resume=True, on_progress=look)
    assert seen == [(False, True), (True, True), (True, False)]
    assert (folder / DAMAGED).exists()


def test_a_kill_between_two_renames_is_no_damage(
    scene_store: Path, twice_stopped: Path, tmp_path: Path
) -> None:
    """A checkpoint is written, the last one is already the one before, and the power goes."""
    folder = shutil.copytree(twice_stopped, tmp_path / "run")
    (folder / LAST).rename(folder / PREVIOUS)
    half_written = [folder / ".last-x1y2z3.partial.safetensors", folder / ".tmpLZGkCy"]
    for path in half_written:
        path.write_bytes(b"half")
    told: list[Path] = []
    steps: list[int] = []

    def stop(progress: Progress) -> None:
        steps.append(progress.step)
        os.kill(os.getpid(), signal.SIGTERM)

    train(
        config(scene_store, folder),
        resume=True,
        on_progress=stop,
        on_damaged=lambda path, _: told.append(path),
    )
    assert (steps, told) == ([3], [])
    assert not any(path.exists() for path in half_written)


def test_without_a_whole_checkpoint_it_says_so(
    scene_store: Path, twice_stopped: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(twice_stopped, tmp_path / "run")
    for name in (LAST, PREVIOUS):
        (folder / name).write_bytes(b"torn")
    with pytest.raises(CheckpointError, match="no whole checkpoint"):
        train(config(scene_store, folder), resume=True)


def test_a_kill_after_the_last_checkpoint_costs_no_metrics(
    scene_store: Path, undisturbed: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(undisturbed, tmp_path / "run")
    (folder / METRICS).unlink()
    assert train(config(scene_store, folder), resume=True).finished
    assert_same(undisturbed, folder)


def finished_epochs(run: Path) -> int:
    metrics = run / METRICS
    return len(metrics.read_text().splitlines()) if metrics.exists() else 0


@pytest.mark.slow
def test_ctrl_c_and_kill_of_the_command(scene_store: Path, tmp_path: Path) -> None:
    """Ctrl-C, then SIGKILL, of the real command; resumed, it ends as if undisturbed."""

    def start(run: Path, *options: str) -> subprocess.Popen[str]:
        command = (
            f"train {scene_store} --run {run} --recipe modern --epochs 6 --batch 4 "
            "--variant face-only --threads 1 --device cpu"
        )
        return subprocess.Popen(
            [sys.executable, "-m", "glamor_cli", *command.split(), *options],
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for_epochs(count: int, process: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + 120
        while finished_epochs(tmp_path / "run") < count:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def finish(process: subprocess.Popen[str]) -> str:
        _, said = process.communicate(timeout=240)
        return said

    whole = start(tmp_path / "whole")
    finish(whole)
    assert whole.returncode == 0

    # Of six epochs, some are left whenever the signals arrive.
    stopped = start(tmp_path / "run")
    wait_for_epochs(1, stopped)
    stopped.send_signal(signal.SIGINT)
    said = finish(stopped)
    assert stopped.returncode == 130
    assert "--resume" in said

    done_so_far = finished_epochs(tmp_path / "run")
    killed = start(tmp_path / "run", "--resume")
    wait_for_epochs(done_so_far + 1, killed)
    killed.kill()
    finish(killed)
    assert finished_epochs(tmp_path / "run") < 6

    resumed = start(tmp_path / "run", "--resume")
    finish(resumed)
    assert resumed.returncode == 0
    assert_same(tmp_path / "whole", tmp_path / "run")


@pytest.mark.skipif(os.name != "posix", reason="stops a process, and needs locks")
def test_two_trainings_in_one_folder_do_not_mix(scene_store: Path, tmp_path: Path) -> None:
    """The second one would remove what the first is writing, and both would write the results."""
    run = tmp_path / "run"
    command = f"train {scene_store} --run {run} --variant face-only --threads 1 --device cpu"
    first = subprocess.Popen([sys.executable, "-m", "glamor_cli", *command.split()])
    try:
        deadline = time.monotonic() + 120
        while not (run / CONFIG).exists():
            assert first.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        # Held there, or it might be done before the other looks.
        first.send_signal(signal.SIGSTOP)
        half_written = run / ".last-abc.partial.safetensors"
        half_written.touch()
        before = (run / CONFIG).read_bytes()
        with pytest.raises(ConfigError, match=r"another process is training in .*run") as refused:
            train(config(scene_store, run), resume=has_checkpoint(run))
        assert "--run" in refused.value.remedy
        assert half_written.exists()
        assert (run / CONFIG).read_bytes() == before
    finally:
        first.kill()
        first.wait()
    with lock_run(run):
        pass  # a killed one's lock is gone


def test_a_run_is_never_overwritten(scene_store: Path, undisturbed: Path) -> None:
    with pytest.raises(ConfigError, match="already holds a run"):
        train(config(scene_store, undisturbed))


def test_resuming_otherwise_names_the_difference(scene_store: Path, undisturbed: Path) -> None:
    other = replace(QUICK, face=replace(QUICK.face, degrees=3.0))
    with pytest.raises(ConfigError, match=r"recipe\.face\.degrees = 15\.0, not 3\.0"):
        train(config(scene_store, undisturbed, other), resume=True)
    resnet = NetworkConfig(encoder=Encoder.RESNET18, variant=Variant.FACE_ONLY)
    with pytest.raises(ConfigError, match=r"network\.encoder = original, not resnet18"):
        train(config(scene_store, undisturbed, network=resnet), resume=True)


def test_the_precision_that_auto_chose_stays_with_the_run(
    scene_store: Path, undisturbed: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(undisturbed, tmp_path / "run")
    settings = json.loads((run / CONFIG).read_text())
    chosen = TrainPrecision(settings["precision"])
    assert chosen is not TrainPrecision.AUTO
    other = TrainPrecision.FP32 if chosen is TrainPrecision.BF16 else TrainPrecision.BF16
    with pytest.raises(ConfigError, match=f"begun with precision = {chosen}, not {other}"):
        train(config(scene_store, run, precision=other), resume=True)
    # As if it had been begun on other hardware.
    (run / CONFIG).write_text(json.dumps(settings | {"precision": other}))
    with pytest.raises(ConfigError, match=f"begun with precision = {other}, not {chosen}"):
        train(config(scene_store, run), resume=True)
    assert train(config(scene_store, run, precision=other), resume=True).finished
    # Older versions wrote down what was asked for.
    (run / CONFIG).write_text(json.dumps(settings | {"precision": "auto"}))
    assert train(config(scene_store, run), resume=True).finished


def test_resuming_on_other_pairs_is_refused(
    scene_store: Path, undisturbed: Path, tmp_path: Path
) -> None:
    moved = shutil.copytree(scene_store, tmp_path / "moved")
    assert train(config(moved, undisturbed), resume=True).finished
    info = json.loads((moved / STORE_FILE).read_text())
    info["source"]["train"]["digest"] = "0" * 64
    (moved / STORE_FILE).write_text(json.dumps(info))
    with pytest.raises(ConfigError, match="was begun with other pairs"):
        train(config(moved, undisturbed), resume=True)


def test_a_run_of_an_older_version_can_be_resumed(
    scene_store: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """What it did not know yet counts as left at its default."""
    run = shutil.copytree(undisturbed, tmp_path / "run")
    settings = json.loads((run / CONFIG).read_text())
    del settings["recipe"]["teacher_share"], settings["teacher"], settings["pairs"]
    (run / CONFIG).write_text(json.dumps(settings))
    assert train(config(scene_store, run), resume=True).finished
    other = replace(QUICK, teacher_share=0.9)
    with pytest.raises(ConfigError, match=r"recipe\.teacher_share = 0\.5, not 0\.9"):
        train(config(scene_store, run, other), resume=True)


def test_a_finished_run_resumes_to_nothing(scene_store: Path, undisturbed: Path) -> None:
    before = (undisturbed / BEST).stat().st_mtime_ns
    assert train(config(scene_store, undisturbed), resume=True).finished
    assert (undisturbed / BEST).stat().st_mtime_ns == before


def test_the_network_learns_a_handful_by_heart(scene_store: Path, tmp_path: Path) -> None:
    recipe = replace(
        QUICK,
        epochs=14,
        batch_size=14,
        learning_rate=3e-3,
        label_smoothing=0.0,
        dropout=0.0,
        face=replace(PAPER.face, flip=False, degrees=0.0),
        context=replace(PAPER.context, brightness=0.0),
        ema_decay=0.0,
    )
    run = tmp_path / "run"
    train(config(scene_store, run, recipe, network=NetworkConfig(variant=Variant.POOLED_CONTEXT)))
    lines = [json.loads(line) for line in (run / METRICS).read_text().splitlines()]
    assert lines[-1]["train_loss"] < 0.5 * lines[0]["train_loss"]


def test_epochs_with_small_faces_are_never_the_best(scene_store: Path, tmp_path: Path) -> None:
    recipe = replace(QUICK, epochs=2, small_faces=(SmallFaces(until=0.5, size=48),))
    result = train(config(scene_store, tmp_path / "run", recipe))
    assert result.best_epoch == 2
    never = replace(recipe, small_faces=(SmallFaces(until=1.0, size=48),))
    with pytest.raises(ConfigError, match="full size"):
        train(config(scene_store, tmp_path / "other", never))


def test_a_network_that_sees_in_gray_answers_a_picture_as_its_gray_copy(
    scene_store: Path, tmp_path: Path
) -> None:
    train(config(scene_store, tmp_path / "run", replace(QUICK, epochs=1, see_in_gray=True)))
    network, _ = load_network(tmp_path / "run" / BEST)
    colour = torch.rand(2, 3, 96, 96)
    luma = torch.einsum("bchw,c->bhw", colour, torch.tensor([0.299, 0.587, 0.114]))
    gray = luma[:, None].expand(-1, 3, -1, -1)
    context = torch.zeros(2, 3, 112, 112)
    with torch.inference_mode():
        difference = network(colour, context).logits - network(gray, context).logits
    assert float(difference.abs().max()) < 1e-4


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
    with pytest.raises(ConfigError, match=r"no encoder of .* fits"):
        load_initial_weights(resnet, start, EMOTIONS)
    network = GlamorNet(NetworkConfig(variant=Variant.FACE_ONLY))
    fresh = network.classifier.logits.weight.clone()
    load_initial_weights(network, start, EMOTIONS[::-1])
    tensors = load_file(start)
    assert torch.equal(network.classifier.logits.weight, fresh)
    assert torch.equal(network.classifier.hidden.weight, tensors["classifier.hidden.weight"])
    load_initial_weights(network, start, EMOTIONS)
    assert torch.equal(network.classifier.logits.weight, tensors["classifier.logits.weight"])


def test_the_paper_recipe_runs_the_whole_network(scene_store: Path, tmp_path: Path) -> None:
    recipe = replace(PAPER, epochs=1)
    train(config(scene_store, tmp_path / "run", recipe, network=NetworkConfig()))
    network, _ = load_network(tmp_path / "run" / BEST)
    # One pass over 28 pairs moves Keras-momentum statistics by 1 - 0.99^7 of the way.
    means = network.face_encoder.blocks[0].norm.running_mean
    assert 0 < float(means.abs().max()) < 0.2


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


def test_without_a_validation_split_a_tenth_is_held_out(scene_store: Path, tmp_path: Path) -> None:
    making = PairMaking(boxes=BoxSource.CROP_FILES)
    scenes, pairs = scene_store.parent / "scenes", tmp_path / "pairs"
    preprocess(PreprocessConfig(scenes, pairs, making, split="train", workers=1))
    alone = config(pairs, tmp_path / "run", replace(QUICK, epochs=1))
    seen: list[int] = []
    train(alone, on_progress=lambda progress: seen.append(progress.steps))
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
    # The seed says which.
    _, _, others = choose_rows(PairStore.open(pairs), replace(alone, seed=1))
    assert set(others) != set(held)


def test_what_judges_is_the_split_that_is_there(scene_store: Path, tmp_path: Path) -> None:
    data_set = write_authors_data_set(tmp_path / "set", {"test": 1, "train": 2, "val": 1})
    preprocess(PreprocessConfig(data_set, tmp_path / "pairs", PairMaking(BoxSource.WHOLE)))
    store = PairStore.open(tmp_path / "pairs")
    rows, split, held = choose_rows(store, config(tmp_path / "pairs", tmp_path / "run"))
    assert (split.name, len(rows), len(held)) == ("val", 6, 3)
    with pytest.raises(ConfigError, match="no split 'nowhere'"):
        train(config(scene_store, tmp_path / "run", validation_split="nowhere"))
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_no_number_ends_a_run_with_a_way_on(
    scene_store: Path, tmp_path: Path
) -> None:
    steep = config(scene_store, tmp_path / "run", replace(QUICK, learning_rate=1e30))
    with pytest.raises(DataError, match=r"the loss is (nan|inf) in epoch 1") as ended:
        train(steep)
    # The same run cannot be resumed with another rate.
    assert "anew in another folder with --run, with a smaller --lr" in ended.value.remedy


def test_a_network_that_diverged_in_its_last_step_is_not_kept(
    scene_store: Path, tmp_path: Path
) -> None:
    """Only validation sees what the one step of this epoch did."""
    once = replace(QUICK, epochs=1, batch_size=28, learning_rate=1e30, ema_decay=0.0)
    with pytest.raises(DataError, match=r"the validation loss is (nan|inf) in epoch 1"):
        train(config(scene_store, tmp_path / "run", once))
    assert not (tmp_path / "run" / BEST).exists()


@pytest.mark.parametrize("rate", ["nan", "inf"])
def test_a_learning_rate_that_is_no_number_is_refused(rate: str) -> None:
    with pytest.raises(ConfigError, match=f"a learning rate of {rate}"):
        find_recipe("modern", learning_rate=float(rate))


def test_a_split_cannot_judge_what_was_learnt_from_it(scene_store: Path, tmp_path: Path) -> None:
    for settings in ({"validation_split": "train"}, {"train_split": "validation"}):
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


def test_weights_say_how_their_pairs_were_made(scene_store: Path, tmp_path: Path) -> None:
    store = shutil.copytree(scene_store, tmp_path / "store")
    info = json.loads((store / STORE_FILE).read_text()) | {"official_jpeg": True}
    (store / STORE_FILE).write_text(json.dumps(info))
    for pairs, geometry in ((store, "official-jpeg"), (scene_store, "sampled")):
        run = tmp_path / geometry
        train(config(pairs, run, replace(QUICK, epochs=1)))
        assert read_metadata(run / BEST).geometry == geometry


def test_the_command_starts_from_weights_by_name(scene_store: Path, tmp_path: Path) -> None:
    arguments = ["train", scene_store, "--run", tmp_path / "run", "--epochs", "1", "--threads", "1"]
    named = ["--init", "glamor-original", "--teacher", "glamor-original"]
    result = CliRunner().invoke(app, [*map(str, arguments), *named])
    assert result.exit_code == 0, result.output
    settings = json.loads((tmp_path / "run" / CONFIG).read_text())
    assert Path(settings["initial_weights"]).name == "glamor-original.safetensors"
    assert settings["teacher_sha256"] == sha256(Path(settings["teacher"]))
    assert settings["initial_sha256"] == settings["teacher_sha256"]
    exported = find_weights("glamor-original", suffix=".onnx")
    arguments[3] = tmp_path / "another"
    refused = CliRunner().invoke(app, [*map(str, arguments), "--teacher", str(exported)])
    assert "is no classifier of faces" in str(refused.exception)
    refused = CliRunner().invoke(app, [*map(str, arguments), "--init", str(exported)])
    assert "a training cannot read" in str(refused.exception)
    missing = CliRunner().invoke(app, [*map(str, arguments), "--init", "nobody"])
    assert isinstance(missing.exception, ConfigError)


def test_every_option_of_the_command_arrives(scene_store: Path, tmp_path: Path) -> None:
    command = (
        f"train {scene_store} --run {tmp_path / 'run'} --recipe scenes --network resnet18 "
        "--variant face-only --epochs 1 --batch 7 --lr 0.002 --seed 5 --train-split validation "
        "--validation-split test --precision bf16 --device cpu --threads 1 "
        "--checkpoint-every 90s --deterministic"
    )
    result = CliRunner().invoke(app, command.split())
    assert result.exit_code == 0, result.output
    settings = json.loads((tmp_path / "run" / CONFIG).read_text())
    recipe = settings["recipe"]
    asked = [recipe[name] for name in ("name", "epochs", "batch_size", "learning_rate")]
    assert asked == ["scenes", 1, 7, 0.002]
    network = settings["network"]
    assert (network["encoder"], network["variant"]) == ("resnet18", "face-only")
    assert (settings["train_split"], settings["validation_split"]) == ("validation", "test")
    assert (settings["seed"], settings["precision"], settings["device"]) == (5, "bf16", "cpu")
    assert (settings["threads"], settings["checkpoint_every"]) == (1, 90)
    assert settings["deterministic"] is True
    assert read_metadata(tmp_path / "run" / BEST).network.encoder is Encoder.RESNET18


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit on files' sizes")
def test_weights_of_a_run_in_the_folder_one_is_in_have_its_name(
    scene_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    train(config(scene_store, Path(), replace(QUICK, epochs=1)))
    assert read_metadata(tmp_path / BEST).name == tmp_path.name


def test_a_full_disk_is_told_in_two_lines(scene_store: Path, tmp_path: Path) -> None:
    options = ("--variant", "face-only", "--checkpoint-every", "0s", "--threads", "1")
    run = tmp_path / "run"
    done = run_with_little_room(500_000, "train", scene_store, "--run", run, *options)
    assert done.returncode == ConfigError.exit_code, done.stderr
    what, remedy = done.stderr.splitlines()[-2:]
    assert what.startswith("error: cannot write")
    assert "File too large" in what
    assert remedy.endswith("that has room.")
