"""What is to be looked at: the images of files, folders and globs, each read or with what is wrong.

One source that cannot be read must not end the run, so errors travel in the images' stream.
"""

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from glamor_cli.errors import DataError, GlamorError
from glamor_cli.files.kinds import is_file
from glamor_cli.files.local import require_local
from glamor_cli.predict.saved_names import is_saved
from glamor_cli.vision.image_files import Report, list_images
from glamor_cli.vision.images import count_pixels, read_image
from glamor_cli.vision.video_reader import is_video


@dataclass(frozen=True, eq=False)
class SourceImage:
    """One image on its way in.

    Attributes:
        source: Its path as found, or whatever name its rows are to bear; a ``Path`` becomes text.
        image: uint8 [H, W, 3] RGB, or None if it could not be read.
        reason: Why not.
        remedy: What to do about it.
    """

    source: str
    image: NDArray[np.uint8] | None
    reason: str | None = None
    remedy: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", str(self.source))

    @classmethod
    def failed(cls, source: str | Path, error: GlamorError) -> Self:
        """Pass on an error in an image's place."""
        return cls(str(source), None, error.what, error.remedy)


Source: TypeAlias = str | Path | SourceImage
"""A file, a folder or a glob, or an image that was read already."""
Sources: TypeAlias = Source | Iterable[Source]
"""What is to be looked at: one source, or several."""
ListSource: TypeAlias = Callable[[Path, Report, Callable[[Path], None]], Iterator[Path]]
"""Lists the files of a source, and reports folders that it passes over and pictures that are not
read; it raises DataError where there are no files."""


def each_source(sources: Sources) -> Iterator[Source]:
    """Take a single source as a list of one: a text's letters are no sources.

    Raises:
        TypeError: Something else is among them, such as pixels without a name, or bytes.
    """
    given: Any = (sources,) if isinstance(sources, Source) else sources
    # Bytes and files would be gone through, bit by bit.
    if isinstance(given, bytes | io.IOBase) or not isinstance(given, Iterable):
        raise _not_a_source(given)
    for source in given:
        if not isinstance(source, Source):
            raise _not_a_source(source)
        yield source


def _not_a_source(given: object) -> TypeError:
    return TypeError(
        f"a source is a str, a Path or a SourceImage, not {type(given).__name__}: give pixels as "
        "SourceImage(name, pixels), an open file as SourceImage(name, read_image(file))"
    )


def list_sources(
    sources: Sources,
    list_source: ListSource = list_images,
    on_saved: Callable[[Path], None] = lambda _: None,
    *,
    on_named: Callable[[Path], None] = lambda _: None,
    on_unread: Callable[[Path], None] = lambda _: None,
) -> Iterator[Path | SourceImage]:
    """List the images of all sources; what cannot be read is passed on as what went wrong.

    Folders and globs are searched for what no run saved (``is_saved``); a file that is itself a
    source is always taken.

    Args:
        sources: Files, folders and globs, and images read already, which are passed on; or a
            single one.
        list_source: Lists the files of a source.
        on_saved: Called with each file that is passed over because a run saved it.
        on_named: Called with each that a run saved and that is taken all the same.
        on_unread: Called with each picture that is passed over because its kind is not read.

    Raises:
        TypeError: Something else is among the sources.
    """
    told = {_Kind.SAVED: on_saved, _Kind.NAMED: on_named, _Kind.UNREAD: on_unread}
    for source in each_source(sources):
        if isinstance(source, SourceImage):
            yield source
            continue
        # Here, not in the search: an error of the caller's own is none of the source.
        for found in _search(source, list_source):
            if isinstance(found, SourceImage):
                yield found
                continue
            path, kind = found
            if kind in told:
                told[kind](path)
            if kind in (_Kind.USUAL, _Kind.NAMED):
                yield path


class _Kind(Enum):
    """What a file is that the search of a source comes upon."""

    USUAL = auto()
    NAMED = auto()
    """A run saved it, and it is itself the source."""
    SAVED = auto()
    UNREAD = auto()


_Found: TypeAlias = SourceImage | tuple[Path, _Kind]
"""What went wrong with a source or a part of it, or a file."""


def _search(source: str | Path, list_source: ListSource) -> Iterator[_Found]:
    """Go through a source's files, and what went wrong, in the order in which they are found."""
    beside: list[_Found] = []
    try:
        if not str(source):
            raise DataError("a source has no name", "Give a file, a folder or a glob.")
        require_local(source)
        is_named = is_file(Path(source))
        taken = left_out = False
        for path in list_source(
            Path(source),
            lambda error: beside.append(SourceImage.failed(source, error)),
            lambda picture: beside.append((picture, _Kind.UNREAD)),
        ):
            yield from beside
            beside.clear()
            saved = is_saved(path)
            if saved and not is_named:
                left_out = True
                yield path, _Kind.SAVED
            else:
                taken = True
                yield path, _Kind.NAMED if saved else _Kind.USUAL
        if left_out and not taken:
            what = f"{source} holds only what earlier runs saved"
            raise DataError(what, "Give the folder of the photographs.")
    except DataError as error:
        beside.append(SourceImage.failed(source, error))
    except OSError as error:
        # Names that the system does not accept, too long ones for example.
        what = f"cannot open {source}: {error.strerror}"
        problem = DataError(what, "Check its name and its permissions.")
        beside.append(SourceImage.failed(source, problem))
    yield from beside


def read_source(path: Path) -> SourceImage:
    """Read one image, or say why it cannot be read."""
    try:
        return SourceImage(str(path), read_image(path))
    except GlamorError as error:
        if is_video(path) and path.is_file():
            what = f"{path} is a video, and only images are read here"
            remedy = "Call glamor_cli.predict.video.predict_sources with a VideoConfig."
            return SourceImage.failed(path, DataError(what, remedy))
        return SourceImage.failed(path, error)


def count_source_pixels(image: SourceImage | Path) -> int:
    """How many pixels an image holds, or will; a file is looked into but not decoded."""
    if isinstance(image, Path):
        return count_pixels(image)
    return image.image.size // 3 if isinstance(image.image, np.ndarray) else 0
