"""Finding the image files of what a user names: a file, a folder or a glob.

Videos are found by the same rules, by other endings.
"""

import glob
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from glamor_cli.errors import DataError
from glamor_cli.files.kinds import exists, is_file, is_folder
from glamor_cli.files.listing import list_names, sort_bounded
from glamor_cli.system.extras import find_in_package
from glamor_cli.vision.heif import HEIF_SUFFIXES, reads_heif

IMAGE_SUFFIXES = frozenset(
    {
        *(HEIF_SUFFIXES if reads_heif() else ()),
        ".avif",
        ".bmp",
        ".gif",
        ".jfif",
        ".jp2",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".mpo",
        ".pbm",
        ".pgm",
        ".png",
        ".pnm",
        ".ppm",
        ".tif",
        ".tiff",
        ".webp",
    }
)
"""What an image's name ends in (in lower case), where folders and globs are searched."""

UNREAD_SUFFIXES = frozenset(
    {
        *(HEIF_SUFFIXES - IMAGE_SUFFIXES),
        ".arw",
        ".cr2",
        ".cr3",
        ".dng",
        ".exr",
        ".jxl",
        ".nef",
        ".nrw",
        ".orf",
        ".pef",
        ".psd",
        ".raf",
        ".raw",
        ".rw2",
        ".srw",
        ".tga",
        ".xcf",
    }
)
"""What the names of pictures end in (in lower case) that are of no kind that is read."""

Report = Callable[[DataError], None]
"""Takes what went wrong with a part of a source, where the rest is still read."""


def find_photograph() -> Path | None:
    """Find the photograph that scikit-image carries, without importing it; None where it is not."""
    return find_in_package("skimage", "data/astronaut.png")


def list_images(
    source: Path, report: Report | None = None, on_unread: Callable[[Path], None] = lambda _: None
) -> Iterator[Path]:
    """List the image files of a source, one by one; see `list_files`."""
    return list_files(source, IMAGE_SUFFIXES, "images", report, on_unread)


def list_files(
    source: Path,
    suffixes: frozenset[str],
    kind: str,
    report: Report | None = None,
    on_unread: Callable[[Path], None] = lambda _: None,
    *,
    is_of_kind: Callable[[Path], bool] = lambda _: True,
) -> Iterator[Path]:
    """List the files of a kind in a source, one by one.

    A file is listed whatever its name. In a folder, searched with its subfolders, and among the
    matches of a glob (``*``, ``?``, ``[...]``, ``**``), files count whose name ends like one of
    the kind and does not begin with a dot. Links to folders are followed, each folder once. A link
    to a file that is missing is listed too: whoever reads it says so.

    Args:
        source: A file, a folder or a glob.
        suffixes: What their names end in, in lower case.
        kind: What they are called, in the plural.
        report: Called for each folder that cannot be read, which is then passed over; None raises.
        on_unread: Called with each picture that is found and left out, for it is of a kind that is
            not read (``UNREAD_SUFFIXES``).
        is_of_kind: Says whether a file that was found is of the kind its name says.

    Yields:
        Paths that begin with ``source`` (or match it), in the order of their names, folder by
        folder: the same on every machine.

    Raises:
        DataError: There is no such source, a folder cannot be read, or none is in it.
        OSError: The system does not accept the name, or lets nobody see whether it is a file.
    """
    if is_file(source):
        yield source
        return
    reported: list[DataError] = []

    def pass_over(error: DataError) -> None:
        if report is None:
            raise error
        reported.append(error)
        report(error)

    if is_folder(source):
        paths, place = _walk(source, pass_over), "folder"
    elif glob.has_magic(str(source)):
        paths, place = _matches(source, pass_over), "pattern"
    elif exists(source):
        raise DataError(f"{source} is neither a file nor a folder", "Give a file.")
    elif source.is_symlink():
        raise DataError(
            f"what {source} links to is missing", "Fetch it, or remove the link or mend it."
        )
    else:
        raise DataError(f"there is no file or folder {source}", "Check the path.")
    empty = True
    for path in paths:
        if path.name.startswith("."):
            continue  # what systems leave behind, like "._photo.jpg"
        suffix = path.suffix.lower()
        if suffix in suffixes and _is_file(path, pass_over):
            if is_file(path) and not is_of_kind(path):
                continue
            empty = False
            yield path
        elif suffix in UNREAD_SUFFIXES and _is_file(path, lambda _: None):
            on_unread(path)
    if empty and not reported:
        raise DataError(
            f"the {place} {source} holds no {kind}",
            f"{kind.capitalize()} are files that end in {', '.join(sorted(suffixes))}.",
        )


def _walk(top: Path, pass_over: Report) -> Iterator[Path]:
    """Walk a folder in the order of names, each folder once: links may make loops."""
    seen: set[tuple[int, int]] = set()
    # A stack, not recursion: folders may be nested deeper than calls.
    waiting = [(top, _entries(top, seen, pass_over))]
    while waiting:
        folder, entries = waiting[-1]
        for name, nested in entries:
            path = folder / name
            if nested and not name.startswith("."):
                waiting.append((path, _entries(path, seen, pass_over)))
                break
            yield path
        else:
            waiting.pop()


def _entries(
    folder: Path, seen: set[tuple[int, int]], pass_over: Report
) -> Iterator[tuple[str, bool]]:
    """List a folder that is not in ``seen`` yet; it is then."""
    try:
        identity = folder.stat()
        if (identity.st_dev, identity.st_ino) not in seen:
            seen.add((identity.st_dev, identity.st_ino))
            yield from list_names(folder)
    except OSError as error:
        pass_over(
            DataError(
                f"cannot read the folder {folder}: {error.strerror}", "Check its permissions."
            )
        )


def _is_file(path: Path, pass_over: Report) -> bool:
    """Whether a path is a file, or a link whose file is missing.

    In a folder that may be listed but not entered nobody can tell.
    """
    try:
        return is_file(path) or (path.is_symlink() and not exists(path))
    except OSError as error:
        pass_over(DataError(f"cannot open {path}: {error.strerror}", "Check its permissions."))
        return False


def _matches(pattern: Path, pass_over: Report) -> Iterator[Path]:
    """What matches a glob, in the order of the names."""
    previous = None
    for name, _ in sort_bounded((str(path), False) for path in _expand(pattern, pass_over)):
        if name != previous:
            yield Path(name)
        previous = name


def _expand(pattern: Path, pass_over: Report) -> Iterator[Path]:
    """Expand a glob, for ``**`` each folder once, where glob itself follows links round loops."""
    segments: list[list[str]] = [[]]
    for part in pattern.parts:
        if part != "**":
            segments[-1].append(part)
        elif len(segments) == 1 or segments[-1]:
            segments.append([])
    first, *others = segments
    found = _matches_in((Path(),), first) if first else iter((Path(),))
    for segment in others:
        found = _matches_in(_folders_below(found, pass_over), segment or ["*"])
    return found


def _matches_in(folders: Iterable[Path], parts: list[str]) -> Iterator[Path]:
    """What matches a glob without ``**`` in each of the folders."""
    for folder in folders:
        # Path.glob takes no absolute pattern, which is what a user may well give.
        for name in glob.iglob(str(Path(*parts)), root_dir=folder):  # noqa: PTH207
            yield folder / name


def _folders_below(tops: Iterable[Path], pass_over: Report) -> Iterator[Path]:
    """List folders and those in them, as ``_walk`` goes through them."""
    seen: set[tuple[int, int]] = set()
    for top in tops:
        waiting = [top] if is_folder(top) else []
        while waiting:
            folder = waiting.pop()
            known = len(seen)
            within = [
                folder / name
                for name, nested in _entries(folder, seen, pass_over)
                if nested and not name.startswith(".")
            ]
            if len(seen) > known:
                yield folder
                waiting += reversed(within)
