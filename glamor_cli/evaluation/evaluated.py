"""What was evaluated and what ran it, as results name them."""

from dataclasses import asdict, dataclass
from pathlib import Path

from glamor_cli.files.reading import sha256
from glamor_cli.runtimes.interface import Runtime


@dataclass(frozen=True)
class EvaluatedWeights:
    """The weights that answered.

    Attributes:
        name: The name in their metadata.
        file: Their path.
        sha256: Of the file.
    """

    name: str
    file: Path
    sha256: str

    @classmethod
    def of(cls, runtime: Runtime, file: Path) -> "EvaluatedWeights":
        """Name what a runtime was opened from, at once: a training may replace the file.

        Args:
            runtime: The opened network.
            file: Its file; the whole of it is read.
        """
        return cls(runtime.metadata.name, file, sha256(file))

    def to_dict(self) -> dict[str, str]:
        """Give the entry ``weights`` of the JSON that results are written as."""
        return {"name": self.name, "file": str(self.file), "sha256": self.sha256}


@dataclass(frozen=True)
class UsedEngine:
    """The engine that ran a network.

    Attributes:
        backend: Its library.
        provider: What of it truly ran.
    """

    backend: str
    provider: str

    @classmethod
    def of(cls, runtime: Runtime) -> "UsedEngine":
        """Name the engine behind a runtime."""
        return cls(runtime.backend, runtime.provider)

    def __str__(self) -> str:
        """Name both."""
        return f"{self.backend}, {self.provider}"

    def to_dict(self) -> dict[str, str]:
        """Give the entry ``runtime`` of the JSON that results are written as."""
        return asdict(self)
