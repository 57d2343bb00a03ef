"""The weights that are registered, by their checksums."""

from collections.abc import Iterator
from pathlib import Path

from glamor_cli.doctor.findings import Finding, FindingStatus
from glamor_cli.errors import GlamorError, reason_of
from glamor_cli.files.reading import sha256
from glamor_cli.weights.registry import DEFAULT_WEIGHTS, RegisteredWeights, find_weights, registered


def check_weights() -> Iterator[Finding]:
    """Check the files of all registered weights."""
    known = registered()
    if DEFAULT_WEIGHTS not in known:
        remedy = "Reinstall glamor, or give a file with --weights."
        yield Finding("weights", DEFAULT_WEIGHTS, FindingStatus.BROKEN, "not registered", remedy)
    for name, entry in known.items():
        yield _checked_weights(name, entry)


def _checked_weights(name: str, entry: RegisteredWeights) -> Finding:
    """Compare the files of registered weights with their checksums."""
    wrong = []
    size = 0
    for file, checksum in entry.files.items():
        try:
            path = find_weights(Path(file).stem, suffix=Path(file).suffix)
            size += path.stat().st_size
            is_right = sha256(path) == checksum
        except GlamorError as error:
            is_there = isinstance(error.__cause__, OSError)
            wrong.append(f"{file} {'cannot be read' if is_there else 'is missing'}")
        except (OSError, MemoryError) as error:
            wrong.append(f"{file} cannot be read: {reason_of(error)}")
        else:
            if not is_right:
                wrong.append(f"{file} has the wrong checksum")
    if wrong:
        status = FindingStatus.BROKEN if name == DEFAULT_WEIGHTS else FindingStatus.MISSING
        remedy = "Reinstall glamor, or get the file from its repository."
        return Finding("weights", name, status, "; ".join(wrong), remedy)
    found = f"{len(entry.files)} files, {size / 1e6:.0f} MB, checksums agree"
    return Finding("weights", name, FindingStatus.OK, f"{entry.summary} ({found})")
