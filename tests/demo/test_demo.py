"""The demo goes its whole road, also after it was stopped."""

import os
import signal
from pathlib import Path

import pytest
from PIL import Image

from glamor_cli.data.scene_config import SceneConfig
from glamor_cli.demo import DemoCallbacks, DemoConfig, Stage, demo
from glamor_cli.errors import ConfigError
from glamor_cli.training.config import CONFIG

STAGES = ["draw scenes", "preprocess", "train", "evaluate", "export", "measure", "predict"]


@pytest.mark.slow
def test_a_stopped_demo_goes_on_and_leaves_its_pictures(tmp_path: Path) -> None:
    config = DemoConfig(
        tmp_path / "demo", scenes=SceneConfig(train=56, validation=7, test=14), epochs=1
    )
    stages: list[Stage] = []

    def stop_training(line: str, share: float) -> None:
        if line.startswith("epoch"):
            os.kill(os.getpid(), signal.SIGINT)

    assert not demo(config, DemoCallbacks(lambda _: None, stages.append, stop_training))
    assert [stage.name for stage in stages] == STAGES[:3]
    assert (config.folder / "run" / CONFIG).exists()

    stages.clear()
    assert demo(config, DemoCallbacks(lambda _: None, stages.append, lambda *_: None))
    assert [stage.name for stage in stages] == STAGES
    pictures = [picture for stage in stages for picture in stage.pictures]
    drawn = [picture for picture in pictures if picture.suffix in (".png", ".jpg")]
    assert len(drawn) >= 3
    assert all(picture.stat().st_size for picture in pictures)
    for picture in drawn:
        with Image.open(picture) as image:
            assert min(image.size) > 100
    assert (config.folder / "run" / "scenes.onnx").exists()
    assert "on validation after 1 epochs" in stages[2].outcome


def test_the_demo_does_not_mix_with_other_files(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(ConfigError, match="holds other files"):
        demo(DemoConfig(tmp_path), DemoCallbacks(lambda _: None, lambda _: None, lambda *_: None))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["letter.txt"]
