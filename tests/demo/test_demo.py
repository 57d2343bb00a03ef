"""The demo runs every step, also after it was stopped."""

import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import glamor_cli.demo.run
from glamor_cli.ablation.run import PICTURE
from glamor_cli.bench.options import BenchConfig
from glamor_cli.cli.app import app
from glamor_cli.data.options import SceneConfig
from glamor_cli.demo.options import DemoConfig
from glamor_cli.demo.run import DemoCallbacks, Stage, demo
from glamor_cli.errors import BackendUnavailable, ConfigError
from glamor_cli.export.options import BatchRange, ExportConfig
from glamor_cli.files.folder_lock import lock_folder
from glamor_cli.network.config import Variant
from glamor_cli.training.config import BEST, CONFIG
from glamor_cli.training.recipes import SCENES

STAGES = ["draw scenes", "preprocess", "train", "evaluate", "export", "measure", "predict"]


@pytest.mark.slow
def test_a_stopped_demo_goes_on_and_leaves_its_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command, with few scenes: stopped in its training, then with the ablations too."""
    folder = tmp_path / "demo"
    few = SceneConfig(train=28, validation=7, test=7)
    fewer = SceneConfig(train=7, validation=7, test=7)
    small = partial(DemoConfig, scenes=few, epochs=1, full_scenes=fewer, seeds=(0,))
    monkeypatch.setattr("glamor_cli.cli.demo.DemoConfig", small)
    monkeypatch.setattr(glamor_cli.demo.run, "SCENES", replace(SCENES, epochs=1))
    once = partial(BenchConfig, batches=(1,), iterations=1)
    monkeypatch.setattr(glamor_cli.demo.run, "BenchConfig", once)
    lightly = partial(ExportConfig, batch=BatchRange(1, 1, 1))
    monkeypatch.setattr(glamor_cli.demo.run, "ExportConfig", lightly)
    words = ["demo", "--output", str(folder), "--device", "cpu"]
    stages: list[Stage] = []

    def tell(begin, done, progress, *, stop=False) -> DemoCallbacks:
        def show_stage(stage: Stage) -> None:
            stages.append(stage)
            done(stage)

        def show_progress(line: str, share: float) -> None:
            progress(line, share)
            if stop and line.startswith("epoch"):
                os.kill(os.getpid(), signal.SIGINT)

        return DemoCallbacks(begin, show_stage, show_progress)

    monkeypatch.setattr(glamor_cli.demo.run, "DemoCallbacks", partial(tell, stop=True))
    stopped = CliRunner().invoke(app, words)
    assert stopped.exit_code == 130, stopped.output
    assert stopped.stdout == ""
    assert "Run the same command again" in stopped.stderr
    assert [stage.name for stage in stages] == STAGES[:3]
    assert (folder / "run" / CONFIG).exists()

    # As another version may have it.
    monkeypatch.setattr(glamor_cli.demo.run, "SCENES", replace(SCENES, epochs=1, learning_rate=1))
    refused = CliRunner().invoke(app, words)
    assert isinstance(refused.exception, ConfigError), refused.output
    assert "was started with recipe.learning_rate" in refused.exception.what
    assert refused.exception.remedy.endswith("start again in another folder with --output.")
    monkeypatch.setattr(glamor_cli.demo.run, "SCENES", replace(SCENES, epochs=1))

    stages.clear()
    monkeypatch.setattr(glamor_cli.demo.run, "DemoCallbacks", tell)
    finished = CliRunner().invoke(app, [*words, "--full"])
    assert finished.exit_code == 0, finished.output
    assert finished.stdout == ""
    assert [stage.name for stage in stages] == [*STAGES, "draw scenes", "preprocess", "ablate"]
    for stage in stages:
        assert stage.outcome in finished.stderr
        assert all(f"picture: {picture}" in finished.stderr for picture in stage.pictures)
    assert f"Everything is in {folder}." in finished.stderr
    pictures = [picture for stage in stages for picture in stage.pictures]
    drawn = [picture for picture in pictures if picture.suffix in (".png", ".jpg")]
    assert len(drawn) >= 3
    assert all(picture.stat().st_size for picture in pictures)
    for picture in drawn:
        with Image.open(picture) as image:
            assert min(image.size) > 100
    assert (folder / "run" / "scenes.onnx").exists()
    assert "on validation after 1 epochs" in stages[2].outcome
    assert stages[-1].pictures == (folder / "ablation" / "runs" / PICTURE,)
    for variant in Variant:
        assert f"{variant} " in stages[-1].outcome
        assert (folder / "ablation" / "runs" / f"{variant}-0" / BEST).exists()


NOT_BEGUN = DemoCallbacks(pytest.fail, lambda _: None, lambda *_: None)
"""Of demos that are refused: the first stage would take minutes."""


def test_the_demo_does_not_mix_with_other_files(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(ConfigError, match="holds other files"):
        demo(DemoConfig(tmp_path), NOT_BEGUN)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["letter.txt"]


def test_two_demos_in_one_folder_do_not_mix(tmp_path: Path) -> None:
    with lock_folder(tmp_path, "running", "Wait."), pytest.raises(ConfigError, match="another"):
        demo(DemoConfig(tmp_path), NOT_BEGUN)


def test_a_demo_that_was_killed_in_its_first_moment_can_be_run_again(tmp_path: Path) -> None:
    (tmp_path / "..glamor-demo-abc.partial").touch()

    def stop(name: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        demo(DemoConfig(tmp_path), DemoCallbacks(stop, lambda _: None, lambda *_: None))
    assert (tmp_path / ".glamor-demo").is_file()


def test_the_demo_needs_a_folder(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(ConfigError, match="is not a folder"):
        demo(DemoConfig(tmp_path / "letter.txt"), NOT_BEGUN)


def test_the_demo_is_not_done_by_several_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="torchrun started 2 processes"):
        demo(DemoConfig(tmp_path / "demo"), NOT_BEGUN)
    assert not (tmp_path / "demo").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="has CUDA")
def test_a_device_that_is_not_here_is_told_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match="torch cannot use CUDA"):
        demo(DemoConfig(tmp_path / "demo", device="cuda"), NOT_BEGUN)
    assert not (tmp_path / "demo").exists()
