"""What is found of a machine: a row for each thing that was tried."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from glamor_cli.errors import GlamorError
from glamor_cli.system.onnx_sessions import onnx_reason


class FindingStatus(StrEnum):
    """How a finding stands."""

    OK = "ok"
    MISSING = "missing"
    """Optional, and not installed."""
    BROKEN = "broken"
    """Part of the base installation is missing or damaged: some command fails without it."""


@dataclass(frozen=True)
class Finding:
    """One thing that was tried.

    Attributes:
        group: What it belongs to.
        name: What it is.
        status: How it stands.
        detail: What was found.
        remedy: What to do; empty where all is well.
    """

    group: str
    name: str
    status: FindingStatus
    detail: str
    remedy: str = ""


@dataclass(frozen=True)
class Examination:
    """Everything that was found.

    Attributes:
        rows: In the order of the groups.
        versions: Version of each package that glamor uses and that is installed.
    """

    rows: tuple[Finding, ...]
    versions: dict[str, str]

    @property
    def works(self) -> bool:
        """Whether everything the base needs is here."""
        return all(row.status is not FindingStatus.BROKEN for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Give what ``glamor doctor --json`` says: ``works``, ``versions`` and ``rows``."""
        return {
            "works": self.works,
            "versions": self.versions,
            "rows": [asdict(row) for row in self.rows],
        }


def problem_of(error: Exception) -> str:
    """Tell a library that is not installed from one that does not load."""
    if isinstance(error, GlamorError):
        return error.what
    absent = error.name if isinstance(error, ModuleNotFoundError) else None
    return onnx_reason(error) if absent is None else f"{absent} is not installed"
