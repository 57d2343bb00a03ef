"""Writing generated scenes as a data set: images, box files and ``cues.csv``."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from glamor_cli.data.data_sets.crop_files import box_file_name, write_box
from glamor_cli.data.options import SceneConfig
from glamor_cli.data.scenes.cues import CUES_FILE, Cue, write_cues
from glamor_cli.data.scenes.scene import check_drawing, draw_scene
from glamor_cli.errors import ConfigError, reason_of
from glamor_cli.files.atomic import cannot_write
from glamor_cli.labels import EMOTIONS


def make_scenes(
    out: str | Path, config: SceneConfig, *, progress: Callable[[int], object] | None = None
) -> Path:
    """Write scenes as an NCAER-S folder with crop files, and `cues.csv`.

    ``out`` appears only when all is written; a killed run leaves no half of it. A folder that is
    there and empty stays and gets all at the end, ``cues.csv`` last.

    Args:
        out: ``images/<split>/<Class>/<name>.png``, ``crop/<split>/<Class>/<name>.txt`` and
            ``cues.csv`` are made in it.
        config: How many scenes, and which.
        progress: Called after each scene with how many are done.

    Returns:
        ``out``.

    Raises:
        ConfigError: A count, the seed or the scale makes no sense, ``out`` holds something
            already, or its folder cannot be written to.
    """
    _check(config)
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(
            f"{out} exists already and is not an empty folder",
            "Choose another folder, or remove this one.",
        )
    try:
        # Links are followed first, and "." gets its name.
        place = Path(os.path.realpath(out))
        # A folder that is there stays, as it may be a mount or the one that one works in.
        within = place.is_dir()
        beside = place if within else place.parent
        beside.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=beside, prefix=".scenes-", suffix=".partial") as drawn:
            # A folder within, because TemporaryDirectory makes its own private.
            whole = Path(drawn) / "scenes"
            whole.mkdir()
            write_cues(whole, _write_images(whole, config, progress), config.cues)
            if within:
                for name in ("images", "crop", CUES_FILE):
                    (whole / name).replace(place / name)
            else:
                whole.replace(place)
    except OSError as error:
        raise cannot_write(out, reason_of(error)) from error
    return out


def _write_images(
    folder: Path, config: SceneConfig, progress: Callable[[int], object] | None
) -> Iterator[Cue]:
    """Write each scene's image and crop file, and pass on its cue."""
    done = 0
    for split, count in config.counts.items():
        for label in EMOTIONS[: min(count, len(EMOTIONS))]:
            (folder / "images" / split / label).mkdir(parents=True)
        for index in range(count):
            scene = draw_scene(config, split, index)
            path = folder / scene.cue.name
            # Level 1 is several times faster than the default and hardly larger on tiles.
            scene.image.save(path, compress_level=1)
            box_file = folder / "crop" / split / scene.cue.label / box_file_name(path.name)
            write_box(box_file, scene.face)
            done += 1
            if progress is not None:
                progress(done)
            yield scene.cue


def _check(config: SceneConfig) -> None:
    for split, count in config.counts.items():
        if count < 0:
            raise ConfigError(
                f"the number of {split} scenes must be 0 or more, not {count}", "Give 0 or more."
            )
    if not any(config.counts.values()):
        raise ConfigError("there are no scenes to make", "Ask for at least one scene.")
    check_drawing(config)
