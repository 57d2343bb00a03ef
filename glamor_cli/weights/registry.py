"""Where weights lie: the names of ``weights/index.json``, and paths.

Free of torch, NumPy and the network: what every command looks up first.
"""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from glamor_cli.errors import ConfigError, reason_of
from glamor_cli.files.kinds import is_file, is_folder
from glamor_cli.files.local import require_local
from glamor_cli.files.reading import MALFORMED, open_file, sha256

DEFAULT_WEIGHTS = "glamor-original"
"""The registered weights that every command uses unless told otherwise."""

KINDS = (".safetensors", ".onnx", ".engine")
"""What the names of files of weights end in."""

INDEX_FILE = "index.json"
"""What registers the files of ``weights/``."""

_PACKAGE = Path(__file__).parents[1]
# In a wheel the weights lie inside the package, in a checkout beside it.
_FOLDERS = (_PACKAGE / "_weights", _PACKAGE.parent / "weights")


@dataclass(frozen=True)
class RegisteredWeights:
    """An entry of ``weights/index.json``.

    Attributes:
        files: SHA-256 by the file's name.
        summary: What they are, in a phrase.
    """

    files: dict[str, str]
    summary: str


def registered() -> dict[str, RegisteredWeights]:
    """Read ``weights/index.json``, by the weights' names.

    A damaged one registers none: files are found without it, and ``doctor`` says what is missing.
    """
    for folder in _FOLDERS:
        index = folder / INDEX_FILE
        if index.is_file():
            with suppress(OSError, *MALFORMED):
                entries = json.loads(index.read_text(encoding="utf-8"))
                return {name: RegisteredWeights(**entry) for name, entry in entries.items()}
    return {}


def is_registered(path: Path) -> bool:
    """Say whether a file is one of ``weights/``, by its name and its bytes."""
    sums = {name: known for entry in registered().values() for name, known in entry.files.items()}
    return path.name in sums and path.is_file() and sha256(path) == sums[path.name]


def find_weights(
    name_or_path: str | Path, *, suffix: str = ".safetensors", kinds: tuple[str, ...] = KINDS
) -> Path:
    """Find weights by registered name or by path.

    Args:
        name_or_path: A name from ``weights/``, or the path of a ``.safetensors``, ``.onnx`` or
            ``.engine`` file.
        suffix: Which of a registered name's files is wanted.
        kinds: What the message advises. Files of the other kinds are for the caller to refuse.

    Raises:
        ConfigError: There is no such name or file, of which the message says where it was looked
            for, or the file cannot be opened.
    """
    require_local(name_or_path, ConfigError)
    try:
        path = _find(name_or_path, suffix, kinds)
        open_file(path).close()
    except OSError as error:
        raise ConfigError(
            f"cannot open {name_or_path}: {reason_of(error)}", "Check the path and its permissions."
        ) from error
    return path


def _find(name_or_path: str | Path, suffix: str, kinds: tuple[str, ...]) -> Path:
    path = Path(name_or_path)
    if path.suffix in KINDS:
        if is_file(path):
            return path
        raise ConfigError(f"there is no file {path}", "Check the path.")
    for folder in _FOLDERS:
        candidate = folder / f"{name_or_path}{suffix}"
        if candidate.is_file():
            return candidate
    *others, last = kinds
    endings = f"{', '.join(others)} or {last}" if others else last
    remedy = (
        f"Give the path of a file that ends in {endings}, or one of: "
        f"{', '.join(registered()) or 'none installed'}."
    )
    if is_folder(path):
        best = path / "best.safetensors"
        if best.suffix in kinds and is_file(best):
            remedy = f"Give {best}, the weights of that run."
        raise ConfigError(f"{path} is a folder, not a file of weights", remedy)
    if is_file(path):
        hint = " (in small letters)" if path.suffix.lower() in KINDS else ""
        raise ConfigError(f"{path} does not end in {endings}{hint}", remedy)
    raise ConfigError(
        f"no weights named {str(name_or_path)!r} in {' or '.join(str(f) for f in _FOLDERS)}",
        remedy,
    )
