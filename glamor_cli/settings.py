"""Settings: choices and paths given as text, numbers out of bounds, settings within settings."""

from collections.abc import Sequence
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from glamor_cli.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

MAX_SEED = 2**63 - 1
"""The largest seed that generators of random numbers take."""
_LARGEST = 1e30
"""Of settings: the products that torch makes of larger ones leave float32, which is an error."""

Choice = TypeVar("Choice", bound=StrEnum)


def choose(kind: type[Choice], value: str, what: str) -> Choice:
    """Find the choice that a text names.

    Args:
        kind: All choices.
        value: One of them, or its text.
        what: What is chosen, for the message.

    Raises:
        ConfigError: There is no such choice.
    """
    try:
        return kind(value)
    except ValueError as error:
        raise ConfigError(
            f"there is no {what} {value!r}", f"Choose one of: {', '.join(kind)}."
        ) from error


def settle_choices(settings: object, **kinds: type[StrEnum]) -> None:
    """Let the fields of a dataclass hold their enums where they were given the texts.

    A ``StrEnum`` equals its text and is not it: what asks ``is`` would take the text for another
    choice. For ``__post_init__``, of frozen dataclasses too. None stays.

    Args:
        settings: The dataclass.
        kinds: The enum of each field, by the field's name.

    Raises:
        ConfigError: A field names no choice.
    """
    for name, kind in kinds.items():
        value = getattr(settings, name)
        if value is not None:
            object.__setattr__(settings, name, choose(kind, value, name))


def settle_several(settings: object, **kinds: type[StrEnum]) -> None:
    """Do as ``settle_choices`` for fields of several choices, which become tuples.

    Args:
        settings: The dataclass.
        kinds: The enum of each field, by the field's name, which ends in s.

    Raises:
        ConfigError: Something in a field names no choice.
    """
    settle_lone(settings, *kinds)
    for name, kind in kinds.items():
        value = getattr(settings, name)
        if value is not None:
            chosen = tuple(choose(kind, one, name.removesuffix("s")) for one in value)
            object.__setattr__(settings, name, chosen)


def settle_paths(settings: object, *names: str) -> None:
    """Let the fields of a dataclass hold paths where they were given text; None stays."""
    for name in names:
        value = getattr(settings, name)
        if value is not None:
            object.__setattr__(settings, name, Path(value))


def settle_numbers(settings: "DataclassInstance") -> None:
    """Let the fields of a dataclass hold Python's numbers where they were given NumPy's.

    Runs and weights keep them as JSON, which does not know NumPy's.
    """
    for entry in fields(settings):
        value = getattr(settings, entry.name)
        settled = tuple(map(to_plain, value)) if isinstance(value, tuple) else to_plain(value)
        object.__setattr__(settings, entry.name, settled)


def to_plain(value: Any) -> Any:
    """Give a number of NumPy's as Python's, and all else as it is."""
    return value.item() if hasattr(value, "item") else value


def settle_lone(settings: object, *names: str) -> None:
    """Let fields of several texts or paths hold one where they were given it alone.

    Gone through as it is, a text is as many as it has letters.
    """
    for name in names:
        value = getattr(settings, name)
        if isinstance(value, str | Path):
            object.__setattr__(settings, name, (value,))


def require_positive(value: int | None, what: str, option: str) -> None:
    """Refuse a number of less than 1; None is not given, and passes.

    Args:
        value: The number.
        what: What it counts, for the message: ``the batch size``.
        option: The command line's name of it: ``--batch``.

    Raises:
        ConfigError: It is less than 1.
    """
    if value is not None and value < 1:
        raise ConfigError(f"{what} must be at least 1, not {value}", f"Give {option} 1 or more.")


def require_share(value: float, what: str, remedy: str = "Give a share in between.") -> None:
    """Refuse a share below 0 or above 1; NaN is refused too.

    Args:
        value: The share.
        what: What it is the share of, for the message: ``the label smoothing``.
        remedy: What to do.

    Raises:
        ConfigError: It is not from 0 to 1.
    """
    if not 0 <= value <= 1:
        raise ConfigError(f"{what} must be from 0 to 1, not {value}", remedy)


def require_below_one(value: float, what: str) -> None:
    """Refuse what is not a number from 0 to below 1; NaN is refused too.

    Args:
        value: The number.
        what: What it is, for the message: ``the dropout``.

    Raises:
        ConfigError: It is below 0, 1 or more, or no number.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < 1:
        raise ConfigError(
            f"{what} must be 0 or more and below 1, not {value!r}", "Give a number in between."
        )


def require_finite(value: float, what: str, remedy: str = "Give a number in between.") -> None:
    """Refuse a number below 0, NaN, and numbers that are infinite or nearly so in float32.

    Args:
        value: The number.
        what: What it is, for the message: ``the learning rate``.
        remedy: What to do.

    Raises:
        ConfigError: It is below 0, too large, or no number.
    """
    if not 0 <= value <= _LARGEST:
        raise ConfigError(f"{what} must be from 0 to {_LARGEST:g}, not {value}", remedy)


def require_seed(seed: int) -> None:
    """Refuse a seed that NumPy's or torch's generators would not take.

    Raises:
        ConfigError: It is negative, or above ``MAX_SEED``.
    """
    if not 0 <= seed <= MAX_SEED:
        raise ConfigError(
            f"the seed must be 0 or more and below 2**63, not {seed}", "Give --seed 0 or more."
        )


def require_seeds(seeds: Sequence[int]) -> None:
    """Refuse no seeds, and any that ``require_seed`` refuses.

    Raises:
        ConfigError: There are none, or one is out of bounds.
    """
    if not seeds:
        raise ConfigError("there are no seeds to train with", "Give at least one seed.")
    for seed in seeds:
        require_seed(seed)


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Name nested settings with dots: ``recipe.face.degrees``."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
