"""The JSON beside an engine: what it is, where it was built, and for what.

No call of TensorRT can tell why an engine will not load, so the file beside it does.
"""

import json
import platform
import sys
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from glamor_cli.errors import CheckpointError, ConfigError
from glamor_cli.files.atomic import write_json
from glamor_cli.files.reading import MALFORMED, read_bounded, sha256
from glamor_cli.files.shell_words import show_command
from glamor_cli.runtimes.tensorrt_library import TURING, Target, generations, load_library
from glamor_cli.system.gpus import Driver, Gpu
from glamor_cli.weights.metadata import Metadata
from glamor_cli.weights.registry import registered

SCHEMA = 1
MAX_BYTES = 1 << 20
"""Bytes; larger files are refused unread."""


@dataclass(frozen=True)
class Sidecar:
    """What an engine file says of itself.

    Attributes:
        target: Which flavour of TensorRT built it, and must run it.
        version: That library's version.
        platform: Operating system and processor it was built for: ``linux-x86_64``.
        architectures: GPU generations that can run it: ``SM89``, ...
        gpu: The GPU it was built on; empty where it was built without one.
        precision: What its layers truly compute in, read from the built network.
        batch_min: The smallest batch of its profile.
        batch_opt: The batch it is tuned for.
        batch_max: The largest batch.
        sha256: Of the engine file.
        metadata: Of the network's weights.
        schema: Version of this layout.
    """

    target: Target
    version: str
    platform: str
    architectures: tuple[str, ...]
    gpu: str
    precision: str
    batch_min: int
    batch_opt: int
    batch_max: int
    sha256: str
    metadata: Metadata
    schema: int = SCHEMA

    def rebuild_remedy(self, engine: Path) -> str:
        """Say how to build an engine anew, here: a sentence that ends with the command.

        WEIGHTS and STORE stand in it for what an engine does not know.
        """
        rtx = self.target is Target.RTX
        # TensorRT-RTX builds for Turing, but not in float32.
        precision = "fp16" if rtx and TURING in self.architectures else self.precision
        name = self.metadata.name
        words: list[str | Path] = ["glamor", "export", "--trt", "--target", self.target]
        for architecture in self.architectures if rtx else ():
            words += ["--gpu", architecture]
        words += ["--weights", name if name in registered() else "WEIGHTS"]
        words += ["--precision", precision]
        if precision == "int8":
            words += ["--calibrate", "STORE"]
        words += ["--batch-min", str(self.batch_min), "--batch-opt", str(self.batch_opt)]
        words += ["--batch-max", str(self.batch_max), "--output", engine]
        return f"Build it here: {show_command(*words)}"

    def fit_batch(self, count: int) -> int:
        """Say with which batch so many pairs are run: at least the profile's smallest.

        Raises:
            ConfigError: They are more than the profile's largest.
        """
        if count > self.batch_max:
            raise ConfigError(
                f"a batch of {count} is outside the engine's profile of {self.batch_min} to "
                f"{self.batch_max}",
                "Leave largest_batch at the profile's, or build with a larger --batch-max.",
            )
        return max(count, self.batch_min)

    def runs_on(self, driver: Driver) -> bool:
        """Whether the driver's first GPU, on which engines are run, is one it was built for."""
        return bool(driver.gpus) and driver.gpus[0].architecture in self.architectures

    def require_architecture(self, engine: Path, gpu: Gpu) -> None:
        """Check that a GPU can run the engine.

        Raises:
            CheckpointError: It was built for others; the message says how to build it here.
            BackendUnavailable: The library that built it is not installed.
        """
        if gpu.architecture not in self.architectures:
            target = self.target
            if target is Target.RTX:
                known = generations(load_library(target)[1])
                target = target if gpu.architecture in known else Target.TRT
            wanted = replace(self, target=target, architectures=(gpu.architecture,))
            raise CheckpointError(
                f"{engine} was built for {', '.join(self.architectures)}, "
                f"but the GPU here is {gpu.architecture} ({gpu.name})",
                wanted.rebuild_remedy(engine),
            )

    def write(self, path: Path) -> None:
        """Write to a file, atomically; beside an engine it belongs at its ``sidecar_path``.

        Raises:
            ConfigError: The file's folder cannot be written to.
        """
        write_json(path, asdict(self), sort_keys=True)


def sidecar_path(engine: Path) -> Path:
    """Where the sidecar of ``x.engine`` lies: ``x.engine.json``."""
    return engine.with_name(f"{engine.name}.json")


def this_platform() -> str:
    """Name the operating system and the processor."""
    return f"{sys.platform}-{platform.machine().lower()}"


def read_sidecar(engine: Path) -> Sidecar:
    """Read the file beside an engine, and compare the engine with the checksum in it.

    Raises:
        CheckpointError: There is no sidecar, it is damaged or of another schema, or the engine is
            not the file that it describes.
    """
    path = sidecar_path(engine)
    remedy = "Build the engine again with glamor export --trt, and keep both files together."
    try:
        text = read_bounded(path, MAX_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{engine} has no readable {path.name} beside it", remedy) from error
    try:
        values: dict[str, Any] = json.loads(text)
        if values["schema"] != SCHEMA:
            raise CheckpointError(f"{path} is of schema {values['schema']}, not {SCHEMA}", remedy)
        values = {entry.name: values[entry.name] for entry in fields(Sidecar)}
        _require_types(values)
        values["target"] = Target(values["target"])
        values["architectures"] = tuple(values["architectures"])
        values["metadata"] = Metadata.from_json(json.dumps(values["metadata"]), path)
        sidecar = Sidecar(**values)
        if not 1 <= sidecar.batch_min <= sidecar.batch_opt <= sidecar.batch_max:
            raise ValueError("batch")
    except MALFORMED as error:
        raise CheckpointError(
            f"{path} cannot be read ({type(error).__name__}: {error})", remedy
        ) from error
    if sha256(engine) != sidecar.sha256:
        raise CheckpointError(
            f"{engine} is not the engine that {path.name} describes: it is damaged, truncated or "
            "of another build",
            sidecar.rebuild_remedy(engine),
        )
    return sidecar


def _require_types(values: dict[str, Any]) -> None:
    """Check that texts are texts and numbers whole ones.

    Raises:
        TypeError: One is not.
    """
    for entry in fields(Sidecar):
        if entry.type in (str, int) and type(values[entry.name]) is not entry.type:
            raise TypeError(f"{entry.name} is {values[entry.name]!r}")
    architectures = values["architectures"]
    if type(architectures) is not list or any(type(name) is not str for name in architectures):
        raise TypeError(f"architectures is {architectures!r}")
