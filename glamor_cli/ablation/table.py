"""An ablation's results as a table: what each run reached, and means over seeds."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import mean, stdev
from typing import Any

from glamor_cli.network.config import Variant

MEANINGS = {
    Variant.FACE_ONLY: "the face alone",
    Variant.CONTEXT_ONLY: "the context alone",
    Variant.POOLED_CONTEXT: "both, the context averaged",
    Variant.SELF_ATTENTION: "both, attention without the face",
    Variant.EQUAL_FUSION: "the whole, both weighing the same",
    Variant.FULL: "the whole network",
}
"""What the variants are, from the parts to the whole: the order of tables and pictures."""


@dataclass(frozen=True)
class RunResult:
    """How one trained network did on the test split.

    Attributes:
        variant: The network.
        seed: Of its training.
        split: What it was judged by.
        count: Pairs in it.
        accuracy: Share of the pairs that are right.
        macro_f1: Mean of the classes' F1.
        near_cue: Share of all pairs whose attention peaks within a cell of the deciding cue; None
            where there is no attention or the cues are not known.
        pointing_game: Share of all pairs whose attention's peak touches the cue; None with it.
        mass: Attention in the cells that touch the cue; None with it.
    """

    variant: Variant
    seed: int
    split: str
    count: int
    accuracy: float
    macro_f1: float
    near_cue: float | None
    pointing_game: float | None
    mass: float | None

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "RunResult":
        """Read what ``dataclasses.asdict`` gave.

        Raises:
            KeyError: An older version wrote less.
            ValueError: There is no such variant.
            TypeError: It says something else.
        """
        known = {name: values[name] for name in cls.__dataclass_fields__}
        return cls(**known | {"variant": Variant(known["variant"])})


@dataclass(frozen=True)
class VariantResult:
    """One line of the table.

    Attributes:
        variant: The network.
        runs: Its finished runs, by seed; at least one.
    """

    variant: Variant
    runs: tuple[RunResult, ...]

    @property
    def accuracies(self) -> tuple[float, ...]:
        """On the test split, one for each seed."""
        return tuple(run.accuracy for run in self.runs)

    @property
    def mean(self) -> float:
        """Mean accuracy."""
        return mean(self.accuracies)

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the accuracy over seeds; None for a single one."""
        return _deviation(self.accuracies)

    @property
    def peaks(self) -> tuple[float, ...]:
        """Shares of attention peaks within a cell of the cue, by seed; empty unless all have one.

        A line counts its seeds once, so that the mean of some of them would pass for that of all.
        """
        measured = tuple(run.near_cue for run in self.runs if run.near_cue is not None)
        return measured if len(measured) == len(self.runs) else ()

    @property
    def near_cue(self) -> float | None:
        """Mean share of attention peaks within a cell of the cue; None where a run has none."""
        return mean(self.peaks) if self.peaks else None

    @property
    def near_cue_deviation(self) -> float | None:
        """Its standard deviation over seeds; None for fewer than two."""
        return _deviation(self.peaks)

    def to_dict(self) -> dict[str, Any]:
        """Give the line with its means and its runs, as JSON knows them."""
        return {
            "variant": self.variant.value,
            "accuracy": self.mean,
            "accuracy_deviation": self.deviation,
            "near_cue": self.near_cue,
            "near_cue_deviation": self.near_cue_deviation,
            "runs": [asdict(run) | {"variant": run.variant.value} for run in self.runs],
        }


def summarise(results: Sequence[RunResult]) -> list[VariantResult]:
    """Group runs by variant, from the parts to the whole."""
    lines = []
    for variant in MEANINGS:
        own = sorted((run for run in results if run.variant is variant), key=lambda run: run.seed)
        if own:
            lines.append(VariantResult(variant, tuple(own)))
    return lines


def to_markdown(table: Sequence[VariantResult]) -> str:
    """Write a table as Markdown, as papers and front doors show it."""
    peaks = any(line.peaks for line in table)
    lines = [
        "| network | accuracy |"
        + (" attention peaks within a cell of the cue |" if peaks else "")
        + " seeds |",
        "|---|---:|" + ("---:|" if peaks else "") + "---:|",
    ]
    for line in table:
        cells = [f"{MEANINGS[line.variant]} (`{line.variant}`)"]
        cells.append(with_deviation(line.mean, line.deviation))
        if peaks:
            cells.append(with_deviation(line.near_cue, line.near_cue_deviation))
        cells.append(str(len(line.runs)))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def with_deviation(value: float | None, deviation: float | None) -> str:
    """Write a share as per cent, with its deviation where there is one."""
    if value is None:
        return "-"
    return f"{100 * value:.1f}" + ("" if deviation is None else f" ± {100 * deviation:.1f}")


def _deviation(values: Sequence[float]) -> float | None:
    return stdev(values) if len(values) > 1 else None
