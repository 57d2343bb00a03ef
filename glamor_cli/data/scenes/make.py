"""Writing generated scenes as a data set: images, box files and ``cues.csv``."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

from glamor_cli.data.data_sets.crop_files import box_file_name, write_box
from glamor_cli.data.options import SceneConfig
from glamor_cli.data.scenes.cues import CUES_FILE, Cue, write_cues
from glamor_cli.data.scenes.scene import draw_scene
from glamor_cli.errors import ConfigError, reason_of
from glamor_cli.files.atomic import cannot_write
from glamor_cli.files.folder_lock import lock_folder
from glamor_cli.files.kinds import holds_visible
from glamor_cli.labels import EMOTIONS

_PREFIX, _SUFFIX = ".scenes-", ".partial"
"""Of the hidden folders that scenes are drawn in."""
_WHOLE = "scenes"
"""The folder in a hidden one that gets its name when all is drawn."""


def make_scenes(
    out: str | Path, config: SceneConfig, *, progress: Callable[[int], object] = lambda _: None
) -> Path:
    """Write scenes as an NCAER-S folder with crop files, and `cues.csv`.

    ``out`` appears only when all is written; a killed run leaves no half of it. A folder that
    exists and is empty, except for hidden files, stays and gets everything at the end, ``cues.csv``
    last. What killed runs left hidden beside it, or in it, is removed.

    Args:
        out: ``images/<split>/<Class>/<name>.png``, ``crop/<split>/<Class>/<name>.txt`` and
            ``cues.csv`` are made in it.
        config: How many scenes, and which.
        progress: Called after each scene with how many are done.

    Returns:
        ``out``.

    Raises:
        ConfigError: ``out`` holds something already, or its folder cannot be written to.
    """
    out = Path(out)
    try:
        _require_free(out)
        # Links are followed first, and "." gets its name.
        place = Path(os.path.realpath(out))
        # A folder that is there stays, as it may be a mount or the one that one works in.
        within = place.is_dir()
        beside = place if within else place.parent
        beside.mkdir(parents=True, exist_ok=True)
        with _lock(place) if within else nullcontext(), _make_hidden(beside) as whole:
            write_cues(whole, _write_images(whole, config, progress), config.cues)
            _require_free(out)  # another run may have been faster
            if within:
                for name in ("images", "crop", CUES_FILE):
                    (whole / name).replace(place / name)
            else:
                whole.replace(place)
    except OSError as error:
        raise cannot_write(out, reason_of(error)) from error
    return out


def _require_free(out: Path) -> None:
    if out.exists() and (not out.is_dir() or holds_visible(out)):
        raise ConfigError(
            f"{out} exists already and is not an empty folder",
            "Choose another folder, or remove this one.",
        )


@contextmanager
def _make_hidden(beside: Path) -> Iterator[Path]:
    """Lend a folder in a hidden and locked one, and remove those of runs that were killed."""
    with (
        tempfile.TemporaryDirectory(dir=beside, prefix=_PREFIX, suffix=_SUFFIX) as made,
        _lock(Path(made)),
    ):
        if _is_locked(Path(made)):
            _remove_leftovers(beside)
        # A folder within, because TemporaryDirectory makes its own private.
        whole = Path(made) / _WHOLE
        whole.mkdir()
        yield whole


def _remove_leftovers(beside: Path) -> None:
    for leftover in beside.glob(f"{_PREFIX}*{_SUFFIX}"):
        # A run that has not made the folder within may not have its lock yet.
        if leftover.is_symlink() or not (leftover / _WHOLE).is_dir():
            continue
        # Those of runs that go on are locked, and others' may not be opened.
        with suppress(ConfigError, OSError):
            with _lock(leftover):
                shutil.rmtree(leftover / _WHOLE)
            leftover.rmdir()


def _is_locked(folder: Path) -> bool:
    """Tell whether a lock that this process holds keeps others out: some file systems have none."""
    try:
        with _lock(folder):
            return False
    except ConfigError:
        return True


def _lock(folder: Path) -> AbstractContextManager[object]:
    return lock_folder(folder, "drawing scenes in", "Wait until it has finished.")


def _write_images(
    folder: Path, config: SceneConfig, progress: Callable[[int], object]
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
            progress(done)
            yield scene.cue
