"""Ablations, really trained on a few scenes: stopped, resumed, extended, shown."""

import json
import os
import shutil
import signal
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scene_stores import write_scene_store
from small_data_sets import write_image
from typer.testing import CliRunner

from glamor_cli.ablation.figure import draw_ablation, save_ablation
from glamor_cli.ablation.run import RESULT, AblationConfig, ablate, ablation_notes, write_table
from glamor_cli.ablation.table import (
    MEANINGS,
    RunResult,
    summarise,
    to_markdown,
    with_deviation,
)
from glamor_cli.cli.app import app
from glamor_cli.cli.render import console
from glamor_cli.data.options import SceneConfig
from glamor_cli.data.scenes.make import make_scenes
from glamor_cli.data.store.format import STORE_FILE
from glamor_cli.data.store.pair_store import PairStore
from glamor_cli.errors import ConfigError, DataError
from glamor_cli.evaluation.attention.cues import find_cues
from glamor_cli.evaluation.attention.measure import measure_attention
from glamor_cli.evaluation.evaluate import evaluate
from glamor_cli.network.config import NetworkConfig, Variant
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.training.config import CONFIG, TrainConfig, settle_precision
from glamor_cli.training.options import TrainPrecision
from glamor_cli.training.recipes import SCENES
from glamor_cli.training.trainer import train
from glamor_cli.training.validation import validate

TWO = (Variant.FULL, Variant.FACE_ONLY)


def configure(store, folder, *variants, seeds=(0,), epochs=1) -> AblationConfig:
    training = TrainConfig(
        store=store,
        run=folder,
        recipe=replace(SCENES, epochs=epochs, batch_size=14),
        device="cpu",
        threads=1,
    )
    scenes = store.parent / "scenes"
    return AblationConfig(training=training, variants=variants, seeds=seeds, scenes=scenes)


@pytest.fixture(scope="module")
def scene_store(tmp_path_factory):
    return write_scene_store(tmp_path_factory.mktemp("scene-store"))


@pytest.fixture(scope="module")
def finished(scene_store, tmp_path_factory):
    """An undisturbed ablation of two variants, and its table."""
    config = configure(scene_store, tmp_path_factory.mktemp("ablation"), *TWO)
    table = ablate(config)
    return config, table


def test_results_are_the_evaluations(scene_store, finished):
    config, table = finished
    assert [line.variant for line in table] == [Variant.FACE_ONLY, Variant.FULL]
    whole = table[1].runs[0]
    split = PairStore.open(scene_store).split("test")
    weights = config.training.run / "full-0" / "best.safetensors"
    evaluation = evaluate(open_runtime(weights, device="cpu", threads=1), split)
    place = measure_attention(evaluation.attention, find_cues(split, config.scenes))
    assert (whole.seed, whole.split, whole.count) == (0, "test", 7)
    assert whole.accuracy == evaluation.metrics.accuracy
    assert whole.near_cue == place.near_cue
    assert table[0].near_cue is None


def test_a_stopped_ablation_goes_on_and_ends_the_same(scene_store, finished, tmp_path):
    config = configure(scene_store, tmp_path, *TWO)
    seen = []

    def stop_in_second_run(variant, seed, progress):
        seen.append((variant, progress.step))
        if variant is Variant.FACE_ONLY:
            os.kill(os.getpid(), signal.SIGINT)

    assert ablate(config, on_progress=stop_in_second_run) is None
    assert seen == [(Variant.FULL, 1), (Variant.FULL, 2), (Variant.FACE_ONLY, 1)]
    shown = json.loads((tmp_path / "ablation.json").read_text(encoding="utf-8"))
    assert [line["variant"] for line in shown["variants"]] == ["full"]

    resumed = []
    table = ablate(config, on_progress=lambda variant, *_: resumed.append(variant))
    assert resumed == [Variant.FACE_ONLY]
    assert table == finished[1]
    for variant in TWO:
        ours, theirs = (
            (folder / f"{variant}-0" / "best.safetensors").read_bytes()
            for folder in (tmp_path, finished[0].training.run)
        )
        assert ours == theirs


def test_a_stop_in_the_last_validation_is_heard(scene_store, finished, tmp_path, monkeypatch):
    """No step is left to end after; the run is finished, and the ablation stops."""
    config = configure(scene_store, tmp_path, *TWO)

    def stop_and_validate(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return validate(*arguments)

    seen = []
    with monkeypatch.context() as patch:
        patch.setattr("glamor_cli.training.run.validate", stop_and_validate)
        assert ablate(config, on_progress=lambda variant, *_: seen.append(variant)) is None
    assert set(seen) == {Variant.FULL}
    seen.clear()
    assert ablate(config, on_progress=lambda variant, *_: seen.append(variant)) == finished[1]
    assert set(seen) == {Variant.FACE_ONLY}


def test_runs_of_another_kind_are_found_before_anything_is_trained(scene_store, finished, tmp_path):
    shutil.copytree(finished[0].training.run, tmp_path / "runs")
    other = configure(scene_store, tmp_path / "runs", Variant.POOLED_CONTEXT, epochs=2)
    with pytest.raises(ConfigError, match=r"recipe\.epochs = 1, not 2"):
        ablate(other, on_progress=lambda *_: pytest.fail("it has begun to train"))


def test_other_variants_and_seeds_join_the_table(scene_store, finished, tmp_path):
    first = configure(scene_store, tmp_path, Variant.FACE_ONLY)
    ablate(first)
    later = configure(scene_store, tmp_path, Variant.FACE_ONLY, Variant.POOLED_CONTEXT, seeds=(1,))
    table = ablate(later)
    runs = {line.variant: [run.seed for run in line.runs] for line in table}
    assert runs == {Variant.FACE_ONLY: [0, 1], Variant.POOLED_CONTEXT: [1]}
    both = [run.accuracy for run in table[0].runs]
    assert table[0].mean == pytest.approx(sum(both) / 2)
    assert table[0].deviation == pytest.approx(abs(both[0] - both[1]) / 2**0.5)
    values = json.loads((tmp_path / "ablation.json").read_text(encoding="utf-8"))
    assert values["recipe"] == "scenes"
    assert values["environment"]["torch"] == version("torch")
    assert [line["accuracy"] for line in values["variants"]] == [line.mean for line in table]
    with Image.open(tmp_path / "ablation.png") as picture:
        assert picture.width > 900
        assert np.asarray(picture.convert("L")).std() > 10
    text = (tmp_path / "ablation.md").read_text(encoding="utf-8")
    assert "| both, the context averaged (`pooled-context`) |" in text
    # The runs that were finished stay as they are, and cannot be mixed with others.
    with pytest.raises(ConfigError, match=r"recipe\.epochs = 1, not 2"):
        ablate(configure(scene_store, tmp_path, Variant.FACE_ONLY, epochs=2))


def test_what_an_earlier_version_judged_by_less_is_judged_again(scene_store, finished, tmp_path):
    config, table = finished
    result = config.training.run / "full-0" / "result.json"
    before = result.read_text(encoding="utf-8")
    result.write_text('{"variant": "full", "seed": 0, "accuracy": 0.5, "near_cue": null}')
    assert write_table(config) == table
    assert json.loads(result.read_text(encoding="utf-8")) == json.loads(before)
    # The scenes may be given later.
    write_table(replace(config, scenes=None))
    result.write_text(before.replace(f'"near_cue": {table[1].near_cue}', '"near_cue": null'))
    assert write_table(replace(config, scenes=None))[1].near_cue is None
    assert write_table(config) == table


def test_the_command_shows_and_writes_what_is_finished(
    scene_store, finished, tmp_path, monkeypatch
):
    config, table = finished
    arguments = ["ablate", str(scene_store), "--run", str(config.training.run), "--epochs", "1"]
    arguments += ["--recipe", "scenes", "--scenes", str(scene_store.parent / "scenes")]
    # The recipe on the command line has another batch size: these runs are not of it.
    mixed = CliRunner().invoke(app, [*arguments, "--table-only"])
    assert isinstance(mixed.exception, ConfigError)
    assert "recipe.batch_size" in str(mixed.exception)
    for path in config.training.run.glob("*/config.json"):
        settings = json.loads(path.read_text(encoding="utf-8"))
        settings["recipe"]["batch_size"] = SCENES.batch_size
        path.write_text(json.dumps(settings), encoding="utf-8")
    result = CliRunner().invoke(app, [*arguments, "--table-only", "--json", "-"])
    assert result.exit_code == 0, result.stderr
    assert not Path("-").exists()
    assert "the face alone" in result.stderr
    monkeypatch.setattr(console, "_width", 36)
    narrow = CliRunner().invoke(app, [*arguments, "--table-only"]).stderr
    assert "…" not in narrow
    assert "attention within a cell of the cue, %" in " ".join(narrow.split())
    values = json.loads(result.stdout)
    assert [line["accuracy"] for line in values["variants"]] == [line.mean for line in table]
    arguments[3] = str(tmp_path / "nothing")
    nothing = CliRunner().invoke(app, [*arguments, "--table-only"])
    assert isinstance(nothing.exception, ConfigError)
    for idle in (["--variant", "full"], ["--seeds", "1"]):
        refused = CliRunner().invoke(app, [*arguments, "--table-only", *idle]).exception
        assert isinstance(refused, ConfigError)
        assert "Leave --table-only out" in refused.remedy


def test_recipes_that_go_on_with_trained_weights_are_refused(scene_store, tmp_path):
    words = ["ablate", str(scene_store), "--run", str(tmp_path / "runs"), "--seeds", "1"]
    refused = CliRunner().invoke(app, [*words, "--recipe", "fer2013-context"]).exception
    assert isinstance(refused, ConfigError)
    assert "--recipe" in refused.remedy
    assert not (tmp_path / "runs").exists()


def test_recipes_that_want_a_teacher_name_no_option_that_ablate_lacks(scene_store, tmp_path):
    words = ["ablate", str(scene_store), "--run", str(tmp_path / "runs"), "--seeds", "1"]
    refused = CliRunner().invoke(app, [*words, "--recipe", "fer2013-distil"]).exception
    assert isinstance(refused, ConfigError)
    assert "teacher's answers" in refused.what
    assert "--recipe" in refused.remedy
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("table_only", [(), ("--table-only",)])
def test_a_split_that_cannot_judge_is_refused_before_anything_is_trained(
    scene_store, tmp_path, table_only
):
    words = ["ablate", str(scene_store), "--run", str(tmp_path / "runs"), *table_only]
    refused = CliRunner().invoke(app, [*words, "--test-split", "train"]).exception
    assert isinstance(refused, ConfigError)
    assert "is the training split" in refused.what
    nothing = tmp_path / "set"
    for split in ("train", "validation"):
        write_image(nothing / split / "Sad" / "0.png", seed=len(split))
    (nothing / "test" / "Sad").mkdir(parents=True)
    (nothing / "test" / "Sad" / "0.png").write_bytes(b"no image")
    pairs = str(tmp_path / "empty")
    CliRunner().invoke(app, ["preprocess", str(nothing), pairs, "--boxes", "whole"])
    words[1] = pairs
    refused = CliRunner().invoke(app, words).exception
    assert isinstance(refused, DataError)
    assert "the split test holds no pairs" in refused.what
    assert not (tmp_path / "runs").exists()


def test_the_command_trains_what_it_is_asked_for(scene_store, tmp_path):
    words = ["ablate", str(scene_store), "--run", str(tmp_path / "runs"), "--epochs", "1"]
    words += ["--variant", "face-only", "--seeds", "1", "--device", "cpu", "--threads", "1"]
    result = CliRunner().invoke(app, [*words, "--precision", "fp32", "--json", "-"])
    assert result.exit_code == 0, result.output
    assert "too high" not in result.stderr
    (line,) = json.loads(result.stdout)["variants"]
    assert (line["variant"], len(line["runs"])) == ("face-only", 1)
    assert line["runs"][0]["count"] == 7, "the pairs of the test split"
    assert "the face alone" in result.stderr
    assert [path.parent.name for path in tmp_path.rglob("best.safetensors")] == ["face-only-0"]
    settings = json.loads((tmp_path / "runs" / "face-only-0" / "config.json").read_text())
    assert settings["recipe"]["name"] == "modern"
    assert (settings["recipe"]["epochs"], settings["seed"], settings["threads"]) == (1, 0, 1)
    assert settings["precision"] == "fp32"
    # The same run, judged by the split that chose its epoch.
    flattering = CliRunner().invoke(app, [*words, "--precision", "fp32", "--test-split=validation"])
    assert flattering.exit_code == 0, flattering.output
    assert "The split validation also chooses" in flattering.stderr


def run(variant, seed, accuracy, near_cue=None) -> RunResult:
    return RunResult(variant, seed, "test", 700, accuracy, accuracy, near_cue, near_cue, near_cue)


def test_the_table_by_hand(tmp_path):
    runs = [run(Variant.FULL, 1, 0.96, 0.94), run(Variant.FULL, 0, 0.98, 0.96)]
    runs += [run(Variant.FACE_ONLY, 0, 0.14)]
    table = summarise(runs)
    assert [line.variant for line in table] == [Variant.FACE_ONLY, Variant.FULL]
    assert [one.seed for one in table[1].runs] == [0, 1]
    assert to_markdown(table).splitlines() == [
        "| network | accuracy | attention peaks within a cell of the cue | seeds |",
        "|---|---:|---:|---:|",
        "| the face alone (`face-only`) | 14.0 | - | 1 |",
        "| the whole network (`full`) | 97.0 ± 1.4 | 95.0 ± 1.4 | 2 |",
    ]
    assert "peaks" not in to_markdown(summarise([run(Variant.FULL, 0, 0.5)]))
    assert with_deviation(None, None) == "-"
    assert set(MEANINGS) == set(Variant)
    for name in ("whole.png", "whole.svg"):
        save_ablation(tmp_path / name, table, discs=2)
        assert (tmp_path / name).stat().st_size > 5000


def test_attention_that_was_not_measured_in_every_run_is_not_told_of_all():
    runs = [run(Variant.FULL, 0, 0.98, 0.96), run(Variant.FULL, 1, 0.96)]
    runs += [run(Variant.EQUAL_FUSION, 0, 0.9, 0.8), run(Variant.FACE_ONLY, 0, 0.14)]
    table = summarise(runs)
    lines = to_markdown(table).splitlines()
    assert "| the whole network (`full`) | 97.0 ± 1.4 | - | 2 |" in lines
    assert "| the whole, both weighing the same (`equal-fusion`) | 90.0 | 80.0 | 1 |" in lines
    _, peaks = draw_ablation(table).axes
    reasons = [text.get_text() for text in peaks.texts]
    assert reasons == ["looks at no place", "80.0", "not measured"]


def test_results_of_another_store_are_not_taken_for_this_ones(finished, scene_store, tmp_path):
    """The default folder for runs is the same for every store."""
    config, _ = finished
    store = shutil.copytree(scene_store, tmp_path / "pairs")
    info = json.loads((store / STORE_FILE).read_text())
    info["source"]["test"]["sha256"] = "0" * 64
    (store / STORE_FILE).write_text(json.dumps(info))
    other = replace(config, training=replace(config.training, store=store))
    with pytest.raises(ConfigError, match="was trained with other pairs"):
        ablate(other)


def test_the_split_to_judge_by_is_checked_before_anything_is_trained(finished, tmp_path):
    config, _ = finished
    begun = replace(config, training=replace(config.training, run=tmp_path / "runs"))
    with pytest.raises(ConfigError, match="no split 'tset'"):
        ablate(replace(begun, test_split="tset"))
    with pytest.raises(ConfigError, match="is the training split and cannot also"):
        ablate(replace(begun, test_split="train"))
    others = make_scenes(tmp_path / "others", SceneConfig(train=0, validation=0, test=7, seed=1))
    with pytest.raises(DataError, match="is not the scene that the store was made from"):
        ablate(replace(begun, scenes=others))
    assert not begun.training.run.exists()


def test_a_run_begun_in_the_precision_of_another_machine_goes_on_in_it(scene_store, tmp_path):
    ablation = configure(scene_store, tmp_path, Variant.FACE_ONLY)
    run = replace(
        ablation.training,
        run=tmp_path / "face-only-0",
        network=NetworkConfig(variant=Variant.FACE_ONLY),
    )
    chosen = settle_precision(run, torch.device("cpu")).precision
    other = TrainPrecision.FP32 if chosen is TrainPrecision.BF16 else TrainPrecision.BF16

    def stop(_):
        os.kill(os.getpid(), signal.SIGINT)

    assert not train(replace(run, precision=other), on_progress=stop).finished
    # The table compares them, so that the others are trained in it too.
    assert ablate(replace(ablation, seeds=(0, 1))) is not None
    settings = [tmp_path / f"face-only-{seed}" / CONFIG for seed in (0, 1)]
    assert [json.loads(path.read_text())["precision"] for path in settings] == [other, other]
    assert json.loads((tmp_path / "ablation.json").read_text())["precision"] == other
    assert ablation_notes(ablation) == []
    # As an older version trained them.
    settings[0].write_text(settings[0].read_text().replace(f'"{other}"', f'"{chosen}"'))
    (note,) = ablation_notes(ablation)
    assert "were trained in bf16 and fp32" in note
    assert write_table(ablation) is not None
    assert json.loads((tmp_path / "ablation.json").read_text())["precision"] is None
    # As one still older did, which does not say what auto chose.
    settings[1].write_text(settings[1].read_text().replace(f'"{other}"', '"auto"'))
    assert ablation_notes(ablation) == []
    assert write_table(ablation) is not None
    assert json.loads((tmp_path / "ablation.json").read_text())["precision"] is None
    # What is only begun is no part of the table.
    shutil.copytree(tmp_path / "face-only-0", tmp_path / "face-only-2")
    (tmp_path / "face-only-2" / RESULT).unlink()
    (tmp_path / "face-only-2" / CONFIG).write_text("damaged")
    assert write_table(ablation) is not None
