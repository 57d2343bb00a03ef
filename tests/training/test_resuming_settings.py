"""With which settings a run may be resumed, and what says that others are another run's."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from quick_training import QUICK, config
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from glamor_cli.data.store.format import STORE_FILE
from glamor_cli.data.store.pair_store import PairStore
from glamor_cli.errors import ConfigError
from glamor_cli.network.config import Encoder, NetworkConfig, Variant
from glamor_cli.training.checkpoints import LAST
from glamor_cli.training.config import BEST, CONFIG, check_can_begin, write_config
from glamor_cli.training.options import TrainPrecision
from glamor_cli.training.splits import choose_validation_split
from glamor_cli.training.trainer import train
from glamor_cli.weights.metadata import CHECKPOINT_KEY
from glamor_cli.weights.network_file import load_network, save_network


def test_resuming_otherwise_names_the_difference(scene_store: Path, undisturbed: Path) -> None:
    other = replace(QUICK, face=replace(QUICK.face, degrees=3.0))
    with pytest.raises(ConfigError, match=r"recipe\.face\.degrees = 15\.0, not 3\.0"):
        train(config(scene_store, undisturbed, other), resume=True)
    resnet = NetworkConfig(encoder=Encoder.RESNET18, variant=Variant.FACE_ONLY)
    with pytest.raises(ConfigError, match=r"network\.encoder = original, not resnet18"):
        train(config(scene_store, undisturbed, network=resnet), resume=True)


def test_a_run_does_not_mix_with_other_files(scene_store: Path, tmp_path: Path) -> None:
    (tmp_path / "photograph.jpg").write_text("precious")
    with pytest.raises(ConfigError, match="holds other files and no run"):
        train(config(scene_store, tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["photograph.jpg"]
    # A run that was begun and has no checkpoint yet may begin anew among what it left.
    write_config(config(scene_store, tmp_path), PairStore.open(scene_store), "validation")
    check_can_begin(config(scene_store, tmp_path), resume=True)
    for path in tmp_path.iterdir():
        path.rename(path.with_name(f".{path.name}"))
    check_can_begin(config(scene_store, tmp_path), resume=False)


def test_a_run_whose_name_the_system_does_not_accept_is_told(
    scene_store: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="too long"):
        train(config(scene_store, tmp_path / ("x" * 300)))


@pytest.mark.parametrize("settings", ['{"model_type": "vit", "precision": "fp16"}', "[]", "{}"])
def test_another_program_s_settings_are_not_written_over(
    scene_store: Path, tmp_path: Path, settings: str
) -> None:
    (tmp_path / CONFIG).write_text(settings)
    with pytest.raises(ConfigError, match="holds other files and no run"):
        train(config(scene_store, tmp_path))
    assert (tmp_path / CONFIG).read_text() == settings


def test_the_precision_that_auto_chose_stays_with_the_run(
    scene_store: Path, undisturbed: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(undisturbed, tmp_path / "run")
    settings = json.loads((run / CONFIG).read_text())
    chosen = TrainPrecision(settings["precision"])
    assert chosen is not TrainPrecision.AUTO
    other = TrainPrecision.FP32 if chosen is TrainPrecision.BF16 else TrainPrecision.BF16
    with pytest.raises(ConfigError, match=f"started with precision = {chosen}, not {other}"):
        train(config(scene_store, run, precision=other), resume=True)
    # As if it had been begun on other hardware.
    (run / CONFIG).write_text(json.dumps(settings | {"precision": other}))
    with pytest.raises(ConfigError, match=f"started with precision = {other}, not {chosen}"):
        train(config(scene_store, run), resume=True)
    assert train(config(scene_store, run, precision=other), resume=True).finished
    # Older versions wrote down what was asked for.
    (run / CONFIG).write_text(json.dumps(settings | {"precision": "auto"}))
    assert train(config(scene_store, run), resume=True).finished


def test_what_judges_stays_with_the_run(
    scene_store: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """Another version may choose another split by itself."""
    run = shutil.copytree(undisturbed, tmp_path / "run")
    again = config(scene_store, run)
    settings = json.loads((run / CONFIG).read_text())
    assert settings["judged_by"] == train(again, resume=True).judged_by == "validation"
    (run / CONFIG).write_text(json.dumps(settings | {"judged_by": "train"}))
    assert train(again, resume=True).judged_by == "a tenth of train"
    # Older versions did not write it down, but their weights say what they learnt from.
    del settings["judged_by"]
    (run / CONFIG).write_text(json.dumps(settings))
    assert train(again, resume=True).judged_by == "validation"
    network, metadata = load_network(run / BEST)
    learnt = (replace(metadata.learnt_from[0], held_out_seed=0),)
    save_network(run / BEST, network, replace(metadata, learnt_from=learnt))
    assert train(again, resume=True).judged_by == "a tenth of train"


def test_a_run_of_other_pairs_does_not_choose_what_judges(
    scene_store: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """The split that judged it may not be there, which was told instead of the run."""
    store = shutil.copytree(scene_store, tmp_path / "store")
    info = json.loads((store / STORE_FILE).read_text())
    for key in ("source", "counts", "index_sha256"):
        del info[key]["validation"]
    (store / STORE_FILE).write_text(json.dumps(info))
    run = shutil.copytree(undisturbed, tmp_path / "run")
    other = config(store, run)
    assert choose_validation_split(PairStore.open(store), other) is None
    (run / CONFIG).write_text("{")
    assert choose_validation_split(PairStore.open(store), other) is None


def test_resuming_on_other_pairs_is_refused(
    scene_store: Path, undisturbed: Path, tmp_path: Path
) -> None:
    moved = shutil.copytree(scene_store, tmp_path / "moved")
    assert train(config(moved, undisturbed), resume=True).finished
    info = json.loads((moved / STORE_FILE).read_text())
    info["source"]["train"]["sha256"] = "0" * 64
    (moved / STORE_FILE).write_text(json.dumps(info))
    with pytest.raises(ConfigError, match="was started with other pairs"):
        train(config(moved, undisturbed), resume=True)


def test_resuming_with_other_labels_is_refused(
    scene_store: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """Whoever corrects labels in the index has other pairs, though not another source."""
    edited = shutil.copytree(scene_store, tmp_path / "edited")
    index = edited / "train" / "index.csv"
    index.write_text(index.read_text().replace(",Happy,", ",Sad,"))
    with pytest.raises(ConfigError, match="was started with other labels"):
        train(config(edited, undisturbed), resume=True)


def test_a_run_of_an_older_version_can_be_resumed(
    scene_store: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """What it did not know yet counts as left at its default; its checkpoint has no checksum."""
    run = shutil.copytree(undisturbed, tmp_path / "run")
    settings = json.loads((run / CONFIG).read_text())
    del settings["recipe"]["teacher_share"], settings["teacher"], settings["pairs"]
    del settings["pairs_labels"]
    del settings["recipe"]["face"]["sharpen"], settings["network"]["hidden"]
    (run / CONFIG).write_text(json.dumps(settings))
    with safe_open(run / LAST, framework="pt") as handle:
        where = {CHECKPOINT_KEY: handle.metadata()[CHECKPOINT_KEY]}
    save_file(load_file(run / LAST), run / LAST, where)
    damaged: list[str] = []
    again = train(
        config(scene_store, run), resume=True, on_damaged=lambda _, why: damaged.append(why)
    )
    assert (again.finished, damaged) == (True, [])
    other = replace(QUICK, teacher_share=0.9)
    with pytest.raises(ConfigError, match=r"recipe\.teacher_share = 0\.5, not 0\.9"):
        train(config(scene_store, run, other), resume=True)
