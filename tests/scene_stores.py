"""Small real stores, made of generated scenes."""

from pathlib import Path

from glamor_cli.data.options import BoxSource, PairMaking, SceneConfig
from glamor_cli.data.preprocess.run import PreprocessConfig, preprocess
from glamor_cli.data.scenes.make import make_scenes


def write_scene_store(root: Path, *, train: int = 28, validation: int = 7, test: int = 7) -> Path:
    """Draw so many scenes in ``root/scenes``, and make pairs of them in ``root/pairs``."""
    config = SceneConfig(train=train, validation=validation, test=test, scale=1)
    making = PairMaking(boxes=BoxSource.CROP_FILES)
    scenes = make_scenes(root / "scenes", config)
    preprocess(PreprocessConfig(scenes, root / "pairs", making, workers=1))
    return root / "pairs"
