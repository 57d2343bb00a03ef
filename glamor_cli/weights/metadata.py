"""What weights, and anything exported from them, say of themselves: a line of JSON in the file."""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from glamor_cli.errors import CheckpointError, ConfigError, reason_of
from glamor_cli.files.reading import MALFORMED
from glamor_cli.labels import EMOTIONS
from glamor_cli.network.config import Encoder, NetworkConfig, Variant
from glamor_cli.vision.geometry import Geometry

SCHEMA = 1
METADATA_KEY = "glamor"
"""The key under which safetensors and ONNX files carry our metadata, as JSON."""
CHECKPOINT_KEY = "glamor-training"
"""Under which a training's checkpoint says where it was; it holds no weights to answer with."""


@dataclass(frozen=True)
class LearntSplit:
    """A split of a pair store that weights have learnt from, wherever the store lies.

    Attributes:
        split: Its name.
        sha256: Of what the data set held in it, as ``store.json`` has it.
        pairs: How many were stored of it.
        held_out_seed: Where a tenth was held out to judge by, the seed that draws it again
            (``data/held_out.py``); None where all of it was learnt from.
    """

    split: str
    sha256: str
    pairs: int
    held_out_seed: int | None = None

    def __post_init__(self) -> None:
        """Refuse what a stranger's file may hold.

        Raises:
            ValueError: A name or checksum that is no text, a number that cannot be.
        """
        numbers = (self.pairs, 0 if self.held_out_seed is None else self.held_out_seed)
        texts = isinstance(self.split, str) and isinstance(self.sha256, str)
        if not texts or any(type(number) is not int or number < 0 for number in numbers):
            raise ValueError(f"a learnt split like {self}")


@dataclass(frozen=True)
class Metadata:
    """What a file of weights, or anything exported from it, says of itself.

    Attributes:
        name: The weights' name.
        network: The network's hyper-parameters.
        classes: Emotions in the order of the outputs.
        temperature: Logits are divided by it before the softmax, so that a probability means
            something; every runtime applies it.
        geometry: How the pairs were made that the weights have learnt from.
        colour: Colour order and range of the inputs.
        training_data: What the weights were trained on, in a phrase.
        accuracy: Measured figures by name, each from 0 to 1.
        learnt_from: The splits that the weights have learnt from, those of the weights they began
            with and of their teacher included; empty where nobody wrote them down, as in files of
            older versions.
        learnt_all: Whether these are all; False where the weights began with some that named none,
            or had such a teacher.
        chosen_by: SHA-256 of the split that the epoch was chosen by, or by its held-out tenth, as
            ``LearntSplit`` has it; None where nobody wrote it down, as in files of older versions.
        schema: Version of this layout.
    """

    name: str
    network: NetworkConfig = field(default_factory=NetworkConfig)
    classes: tuple[str, ...] = EMOTIONS
    temperature: float = 1.0
    geometry: Geometry = Geometry.SAMPLED
    colour: str = "RGB in [0, 1]"
    training_data: str = "unknown"
    accuracy: dict[str, float] = field(default_factory=dict)
    learnt_from: tuple[LearntSplit, ...] = ()
    learnt_all: bool = True
    chosen_by: str | None = None
    schema: int = SCHEMA

    @property
    def knows_learnt(self) -> bool:
        """Whether a split that is not in ``learnt_from`` was not learnt from."""
        return bool(self.learnt_from) and self.learnt_all

    def to_json(self) -> str:
        """Write as JSON with sorted keys."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str, source: Path) -> "Metadata":
        """Read what ``to_json`` wrote.

        Args:
            text: The JSON.
            source: The file it came from, for messages.

        Raises:
            CheckpointError: The text is not our metadata, or of another schema.
        """
        try:
            values: dict[str, Any] = json.loads(text)
            if values["schema"] != SCHEMA:
                raise CheckpointError(
                    f"{source} has metadata of schema {values['schema']}, not {SCHEMA}",
                    "Use the version of glamor that wrote it, or write the file again.",
                )
            known = {entry.name for entry in fields(cls)}
            values = {key: value for key, value in values.items() if key in known}
            network = dict(values["network"])
            network["encoder"] = Encoder(network["encoder"])
            network["variant"] = Variant(network["variant"])
            values["network"] = NetworkConfig(**network)
            values["classes"] = tuple(str(name) for name in values["classes"])
            values["geometry"] = Geometry(values["geometry"])
            values["temperature"] = float(values["temperature"])
            values["learnt_from"] = tuple(
                LearntSplit(**one) for one in values.get("learnt_from", ())
            )
            values["learnt_all"] = bool(values.get("learnt_all", True))
            metadata = cls(**values)
            _check_texts(metadata)
            _check_figures(metadata.accuracy)
            if not 0 < metadata.temperature < math.inf:
                raise ValueError(f"temperature {metadata.temperature}")
            if len(metadata.classes) != metadata.network.classes:
                raise ValueError(
                    f"{len(metadata.classes)} class names for {metadata.network.classes} classes"
                )
            _check_classes(metadata.classes)
        except (ConfigError, *MALFORMED) as error:
            raise CheckpointError(
                f"{source} carries metadata that glamor cannot read ({reason_of(error)})",
                "Use a file written by glamor train, import-checkpoint or export.",
            ) from error
        return metadata


def join_learnt(sources: Iterable[Metadata | None]) -> tuple[tuple[LearntSplit, ...], bool]:
    """Tell what all sources of some weights have learnt from, each split once.

    Args:
        sources: What each says of itself; None of one that says nothing.

    Returns:
        The splits, and whether these are all.
    """
    known = list(sources)
    splits = [one for source in known if source is not None for one in source.learnt_from]
    named = all(source is not None and source.knows_learnt for source in known)
    return tuple(dict.fromkeys(splits)), named


def take_metadata(raw: dict[str, str], path: Path) -> Metadata:
    """Take our metadata out of what a ``.safetensors`` file carries.

    Args:
        raw: The file's own metadata.
        path: The file, for messages.

    Raises:
        CheckpointError: There is none of ours, or it cannot be read.
    """
    if CHECKPOINT_KEY in raw:
        raise CheckpointError(
            f"{path} is a training checkpoint, not the weights that the training chose",
            "Use best.safetensors beside it; the training goes on with glamor train --resume.",
        )
    if METADATA_KEY not in raw:
        raise CheckpointError(
            f"{path} was not written by glamor: it has no glamor metadata",
            "Use weights from glamor train, or glamor import-checkpoint for the authors'.",
        )
    return Metadata.from_json(raw[METADATA_KEY], path)


def _check_texts(metadata: Metadata) -> None:
    """Refuse what is no text where messages and reports show one."""
    for name in ("name", "colour", "training_data"):
        if not isinstance(getattr(metadata, name), str):
            raise TypeError(f"{name} {getattr(metadata, name)!r}")
    if not isinstance(metadata.chosen_by, str | None):
        raise TypeError(f"chosen_by {metadata.chosen_by!r}")


def _check_figures(accuracy: dict[str, float]) -> None:
    """Refuse what are no finite numbers by name."""
    for name, figure in accuracy.items():
        number = isinstance(figure, int | float) and not isinstance(figure, bool)
        if not number or not math.isfinite(figure):
            raise ValueError(f"accuracy of {name}: {figure!r}")


def _check_classes(names: tuple[str, ...]) -> None:
    """Refuse names that answers and tables cannot tell apart or show."""
    if len(names) < 2:
        raise ValueError(f"{len(names)} classes")
    if len(set(names)) < len(names):
        raise ValueError("two classes of one name")
    for name in names:
        if not name.strip() or not name.isprintable():
            raise ValueError(f"the class name {name!r}")
