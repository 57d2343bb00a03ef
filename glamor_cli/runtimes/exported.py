"""ONNX files that ``glamor export`` wrote: whether a file is one, and what it says of itself.

The package onnx is imported only where a file is read by itself: a session of ONNX Runtime knows
all that is asked here, and ``glamor predict`` must not pay for more.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glamor_cli.errors import (
    CheckpointError,
    GlamorError,
    is_lack_of_memory,
    is_lack_of_threads,
    no_memory_to,
    no_threads,
)
from glamor_cli.files.reading import MALFORMED
from glamor_cli.runtimes.interface import BOXES, IMAGE, INPUT_NAMES, OUTPUT_NAMES
from glamor_cli.system.onnx_sessions import onnx_reason
from glamor_cli.weights.metadata import METADATA_KEY, Metadata

if TYPE_CHECKING:
    from onnx import ModelProto

EXPORT_KEY = "glamor_export"
"""The key of ONNX ``metadata_props`` under which an export says how it was made, as JSON."""

_REMEDY = "Use an ONNX file that glamor export wrote."


@dataclass(frozen=True)
class ExportedFile:
    """What an ONNX file of ours says of itself.

    Attributes:
        path: The file.
        metadata: Of the network's weights.
        how: How it was exported, by the names that ``glamor_cli.export`` wrote; empty where it does
            not say.
        inputs: Names of what goes in, in the graph's order: the network's pair, or a photograph
            and boxes where the preprocessing is in the graph.
        outputs: Names of what comes out.
    """

    path: Path
    metadata: Metadata
    how: Mapping[str, object]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @classmethod
    def of(
        cls,
        path: Path,
        properties: Mapping[str, str],
        inputs: Iterable[str],
        outputs: Iterable[str],
    ) -> "ExportedFile":
        """Take what a graph holds.

        Args:
            path: Where it is from.
            properties: Its ``metadata_props``.
            inputs: Names of its inputs.
            outputs: Names of its outputs.

        Raises:
            CheckpointError: glamor did not export it, or its metadata cannot be read.
        """
        if METADATA_KEY not in properties:
            raise CheckpointError(
                f"{path} was not exported by glamor: it has no glamor metadata", _REMEDY
            )
        metadata = Metadata.from_json(properties[METADATA_KEY], path)
        return cls(path, metadata, _read_how(properties), tuple(inputs), tuple(outputs))

    @property
    def precision(self) -> str:
        """What it was exported in; empty where it does not say."""
        return str(self.how.get("precision", ""))

    def require_network(self) -> None:
        """Check that it is a network of pairs, without preprocessing.

        Raises:
            CheckpointError: It takes or gives something else.
        """
        require_network(self.inputs, self.outputs, str(self.path))


def require_network(inputs: Iterable[str], outputs: Iterable[str], name: str) -> None:
    """Check that a graph takes pairs and gives the network's answers.

    Args:
        inputs: Names of its inputs, in its order.
        outputs: Names of its outputs; there may be more than ours.
        name: What a message calls the graph.

    Raises:
        CheckpointError: It takes or gives something else.
    """
    inputs, outputs = tuple(inputs), tuple(outputs)
    if inputs != INPUT_NAMES or not set(OUTPUT_NAMES) <= set(outputs):
        why = " holds the preprocessing: it" if set(inputs) == {IMAGE, BOXES} else ""
        raise CheckpointError(
            f"{name}{why} takes {', '.join(inputs)} and gives {', '.join(outputs)}, "
            f"not {', '.join(INPUT_NAMES)} and {', '.join(OUTPUT_NAMES)}",
            "Use an ONNX file that glamor export wrote without --with-preprocessing.",
        )


def read_exported(path: Path) -> ExportedFile:
    """Read what an ONNX file says of itself.

    Raises:
        CheckpointError: The file is damaged, or not exported by glamor.
        BackendUnavailable: Memory does not suffice.
    """
    return identify(load_model(path), path)


def load_model(path: Path) -> "ModelProto":
    """Load any ONNX file.

    Raises:
        CheckpointError: The file is damaged, or not ONNX.
        BackendUnavailable: Memory does not suffice.
    """
    import onnx

    try:
        return onnx.load(path)
    except Exception as error:
        # Protobuf's exceptions share no base but Exception.
        raise unreadable(path, error) from error


def identify(model: "ModelProto", path: Path) -> ExportedFile:
    """Read what a loaded file says of itself.

    Raises:
        CheckpointError: glamor did not export it, or its names or its metadata are damaged.
    """
    properties = {entry.key: entry.value for entry in model.metadata_props}
    inputs = [value.name for value in model.graph.input]
    outputs = [value.name for value in model.graph.output]
    # What is not UTF-8, protobuf gives as bytes.
    texts = (*properties, *properties.values(), *inputs, *outputs)
    if not all(isinstance(text, str) for text in texts):
        raise not_utf8(path)
    return ExportedFile.of(path, properties, inputs, outputs)


def unreadable(name: Path | str, error: Exception) -> GlamorError:
    """Say that something is not ONNX, newer than what reads it, or memory or threads lack."""
    if is_lack_of_memory(error):
        return no_memory_to(f"open {name}")
    if is_lack_of_threads(error):
        return no_threads()
    reason = onnx_reason(error)
    if "Unsupported model IR version" in reason or "is under development" in reason:
        return CheckpointError(
            f"{name} needs a newer ONNX Runtime than the one installed",
            "Update onnxruntime, or export the file again with glamor export.",
        )
    return CheckpointError(
        f"{name} cannot be read as ONNX ({reason})",
        "The file is damaged or of another kind; export it again.",
    )


def not_utf8(path: Path) -> CheckpointError:
    """Say that a file's names are damaged."""
    return CheckpointError(f"{path} holds names that are not UTF-8", _REMEDY)


def _read_how(properties: Mapping[str, str]) -> dict[str, object]:
    """Read how the file was made; running it does not depend on that: damage is no error."""
    try:
        return dict(json.loads(properties[EXPORT_KEY]))
    except MALFORMED:
        return {}
