"""What a training computes, keeps and refuses."""

import json
import os
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from little_room import run_with_little_room
from quick_training import QUICK, assert_same, config
from safetensors.torch import load_file
from small_data_sets import write_image
from terminal import run_on_terminal
from typer.testing import CliRunner

from glamor_cli.cli import long_progress
from glamor_cli.cli.app import app
from glamor_cli.data.options import BoxSource, PairMaking
from glamor_cli.data.preprocess.run import PreprocessConfig, preprocess
from glamor_cli.data.store.format import STORE_FILE
from glamor_cli.data.store.pair_store import PairStore
from glamor_cli.errors import CheckpointError, ConfigError, DataError
from glamor_cli.evaluation.evaluate import evaluate
from glamor_cli.labels import EMOTIONS
from glamor_cli.network.config import Encoder, NetworkConfig, Variant
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.training.checkpoints import (
    AVERAGE,
    LAST,
)
from glamor_cli.training.config import BEST, CONFIG, METRICS
from glamor_cli.training.curves import CURVES
from glamor_cli.training.options import TrainPrecision
from glamor_cli.training.recipes import PAPER, SmallFaces, find_recipe
from glamor_cli.training.run import Run
from glamor_cli.training.trainer import train
from glamor_cli.training.world import World
from glamor_cli.weights.network_file import load_network, read_metadata


def test_a_run_leaves_weights_metrics_and_curves(undisturbed: Path) -> None:
    metadata = read_metadata(undisturbed / BEST)
    assert metadata.network.variant is Variant.FACE_ONLY
    lines = [json.loads(line) for line in (undisturbed / METRICS).read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert metadata.accuracy["validation"] == max(line["validation_accuracy"] for line in lines)
    assert (undisturbed / CURVES).read_bytes().startswith(b"\x89PNG")
    assert open_runtime(undisturbed / BEST, device="cpu").metadata == metadata


def test_a_checkpoint_is_not_taken_for_weights(undisturbed: Path) -> None:
    with pytest.raises(CheckpointError, match=r"last\.safetensors is a training") as refused:
        open_runtime(undisturbed / LAST)
    assert "best.safetensors beside it" in refused.value.remedy


def test_what_is_kept_is_the_best_epoch(scene_store: Path, undisturbed: Path) -> None:
    """It was judged as it is kept: what it answers has the loss that is written down."""
    lines = [json.loads(line) for line in (undisturbed / METRICS).read_text().splitlines()]
    losses = [line["validation_loss"] for line in lines]
    assert losses[0] != pytest.approx(losses[1], rel=1e-3), "else it could be either epoch's"
    split = PairStore.open(scene_store).split("validation")
    found = evaluate(open_runtime(undisturbed / BEST, device="cpu", threads=1), split)
    right = found.probabilities[np.arange(len(split)), found.labels]
    best = max(lines, key=lambda line: (line["validation_accuracy"], -line["validation_loss"]))
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


def test_machines_of_which_auto_chooses_another_precision_are_told_so(
    scene_store: Path, tmp_path: Path
) -> None:
    """They were given the same command, and would look for other settings in vain."""
    one, other = (
        Run(config(scene_store, tmp_path, precision=chosen), World(torch.device("cpu")))
        for chosen in (TrainPrecision.FP32, TrainPrecision.BF16)
    )
    pairs = zip(one.foundations().items(), other.foundations().values(), strict=True)
    first = next(name for (name, fact), others in pairs if fact != others)
    assert first.startswith("precision")


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


def test_training_and_validation_count_the_same_answers_as_right(tmp_path: Path) -> None:
    """Whoever answers as these soft labels do is wrong by their labels, on both."""
    cells = {name: str(int(name == "Sad")) for name in EMOTIONS}
    lines = [",".join(("path", "label", "split", *cells))]
    for number in range(20):
        write_image(tmp_path / f"{number}.png", number)
        split = "train" if number < 16 else "val"
        lines.append(",".join((f"{number}.png", "Neutral", split, *cells.values())))
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    making = PairMaking(boxes=BoxSource.WHOLE)
    preprocess(PreprocessConfig(tmp_path / "manifest.csv", tmp_path / "pairs", making, workers=1))
    recipe = replace(QUICK, epochs=4, learning_rate=3e-3, ema_decay=0.0)
    train(config(tmp_path / "pairs", tmp_path / "run", recipe))
    last = json.loads((tmp_path / "run" / METRICS).read_text().splitlines()[-1])
    assert last["validation_accuracy"] == 0
    assert last["train_accuracy"] < 0.2


def test_epochs_with_small_faces_are_never_the_best(scene_store: Path, tmp_path: Path) -> None:
    recipe = replace(QUICK, epochs=2, small_faces=(SmallFaces(until=0.5, size=48),))
    result = train(config(scene_store, tmp_path / "run", recipe))
    assert result.best_epoch == 2
    with pytest.raises(ConfigError, match="none of 2 epochs would use faces at full size"):
        replace(recipe, small_faces=(SmallFaces(until=1.0, size=48),))


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


def test_the_paper_recipe_runs_the_whole_network(scene_store: Path, tmp_path: Path) -> None:
    recipe = replace(PAPER, epochs=1)
    train(config(scene_store, tmp_path / "run", recipe, network=NetworkConfig()))
    network, _ = load_network(tmp_path / "run" / BEST)
    # One pass over 28 pairs moves Keras-momentum statistics by 1 - 0.99^7 of the way.
    means = network.face_encoder.blocks[0].norm.running_mean
    assert 0 < float(means.abs().max()) < 0.2


def test_a_loss_that_is_no_number_ends_a_run_with_a_way_on(
    scene_store: Path, tmp_path: Path
) -> None:
    steep = config(scene_store, tmp_path / "run", replace(QUICK, learning_rate=1e30))
    with pytest.raises(DataError, match=r"the loss is (nan|inf) in epoch 1") as ended:
        train(steep)
    # The same run cannot be resumed with another rate.
    assert "again in another folder with --run, with a smaller --lr" in ended.value.remedy


def test_a_network_that_diverged_in_its_last_step_is_not_kept(
    scene_store: Path, tmp_path: Path
) -> None:
    """Only validation sees what the one step of this epoch did."""
    once = replace(QUICK, epochs=1, batch_size=28, learning_rate=1e30, ema_decay=0.0)
    with pytest.raises(DataError, match=r"the validation loss is (nan|inf) in epoch 1"):
        train(config(scene_store, tmp_path / "run", once))
    assert not (tmp_path / "run" / BEST).exists()


@pytest.mark.parametrize("rate", ["nan", "inf", "1e+300"])
def test_a_learning_rate_that_is_no_number_of_float32_is_refused(rate: str) -> None:
    wrong = re.escape(f"the learning rate must be from 0 to 1e+30, not {rate}")
    with pytest.raises(ConfigError, match=wrong):
        find_recipe("modern", learning_rate=float(rate))


def test_weights_say_how_their_pairs_were_made(scene_store: Path, tmp_path: Path) -> None:
    store = shutil.copytree(scene_store, tmp_path / "store")
    info = json.loads((store / STORE_FILE).read_text()) | {"official_jpeg": True}
    (store / STORE_FILE).write_text(json.dumps(info))
    for pairs, geometry in ((store, "official-jpeg"), (scene_store, "sampled")):
        run = tmp_path / geometry
        train(config(pairs, run, replace(QUICK, epochs=1)))
        assert read_metadata(run / BEST).geometry == geometry


def test_every_option_of_the_command_arrives(scene_store: Path, tmp_path: Path) -> None:
    options = (
        "--recipe scenes --network resnet18 --variant face-only --epochs 1 --batch 7 --lr 0.002 "
        "--seed 5 --train-split validation --validation-split test --precision bf16 "
        "--device cpu --threads 1 "
        "--checkpoint-every 90s --deterministic"
    )
    command = ["train", str(scene_store), "--run", str(tmp_path / "run"), *options.split()]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "finished before" not in result.stderr
    again = CliRunner().invoke(app, [*command, "--resume"])
    assert again.exit_code == 0, again.output
    nothing, best = again.stderr.splitlines()
    assert nothing == f"{tmp_path}/run had no steps left to take"
    assert re.match(r"best validation accuracy [\d.]+% on test in epoch 1: ", best)
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


def test_a_log_hears_of_a_training_now_and_then(
    scene_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_progress, "_LINE_SECONDS", 0)
    options = "--recipe scenes --epochs 2 --batch 7 --device cpu --threads 1"
    command = ["train", str(scene_store), "--run", str(tmp_path / "run"), *options.split()]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("epoch ")]
    step = re.compile(
        r"epoch (\d)/2  loss \d\.\d+(  validation [\d.]+%)?: (\d+) of (\d+) steps \([\d.]+%\), "
        r"[\d.]+ images/s, (0:00:\d\d|unknown time) left"
    )
    told = [step.fullmatch(line) for line in lines]
    assert all(told), lines
    assert [int(one[3]) for one in told] == [*range(1, int(told[0][4]) + 1)]


@pytest.mark.skipif(sys.platform == "win32", reason="has no such terminals")
def test_what_stays_on_a_terminal_is_not_the_accuracy_of_the_epoch_before(
    scene_store: Path, tmp_path: Path
) -> None:
    words = ["train", scene_store, "--run", tmp_path / "run", "--variant", "face-only"]
    words += ["--epochs", 2, "--device", "cpu", "--threads", 1]
    code, _, shown = run_on_terminal(*words, columns=100)
    assert code == 0, shown
    last = [line for line in re.split(r"[\r\n]+", shown) if "epoch 2/2" in line][-1]
    assert "loss" in last
    assert "validation" not in last


def test_weights_of_a_run_in_the_folder_one_is_in_have_its_name(
    scene_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    train(config(scene_store, Path(), replace(QUICK, epochs=1)))
    assert read_metadata(tmp_path / BEST).name == tmp_path.name


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit on files' sizes")
def test_a_full_disk_is_told_in_two_lines(scene_store: Path, tmp_path: Path) -> None:
    options = ("--variant", "face-only", "--checkpoint-every", "0s", "--threads", "1")
    run = tmp_path / "run"
    done = run_with_little_room(500_000, "train", scene_store, "--run", run, *options)
    assert done.returncode == ConfigError.exit_code, done.stderr
    what, remedy = done.stderr.splitlines()[-2:]
    assert what.startswith("error: cannot write")
    assert "File too large" in what
    assert "that has room" in remedy
