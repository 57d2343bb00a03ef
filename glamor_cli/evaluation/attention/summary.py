"""An attention report as figures: for the terminal, and for ``glamor attention --json``."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glamor_cli.evaluation.attention.hiding import Curves
from glamor_cli.evaluation.attention.options import MapKind
from glamor_cli.evaluation.attention.run import AttentionReport, MapMeasures
from glamor_cli.evaluation.bootstrap import ENDS, RESAMPLES
from glamor_cli.system.environment import describe_environment
from glamor_cli.system.extras import installed_version


@dataclass(frozen=True)
class HidingSummary:
    """What hiding the square with most of a map costs, against random squares of the same size.

    Attributes:
        attended: Mean fall of the first answer's probability.
        random: The same for random squares.
        ratio: The first over the second; None where random squares cost nothing.
        ratio_interval: 95% bootstrap interval over pairs; None of a single pair, and where it has
            no upper end.
        accuracy: Share of right answers with nothing hidden.
        accuracy_attended: With the square hidden.
        accuracy_random: With a random one hidden.
        changed_attended: Share of the answers that it changes.
        changed_random: The same for random squares.
    """

    attended: float
    random: float
    ratio: float | None
    ratio_interval: tuple[float, float] | None
    accuracy: float
    accuracy_attended: float
    accuracy_random: float
    changed_attended: float
    changed_random: float

    @property
    def shown_ratio(self) -> float | None:
        """The ratio, unless it has no interval: such a ratio says nothing to people."""
        return None if self.ratio_interval is None else self.ratio


@dataclass(frozen=True)
class StreamSummary:
    """How much the context weighs in the fusion.

    Attributes:
        count: Pairs.
        mean: Mean share of the context, from 0 to 1.
        deviation: Its standard deviation over the pairs, of the sample; None of a single pair.
        entropy: Mean entropy of the attention, from 0 to 1.
    """

    count: int
    mean: float
    deviation: float | None
    entropy: float


def summarise_hiding(report: AttentionReport, measures: MapMeasures) -> HidingSummary:
    """Average what hiding costs over a report's pairs."""
    own, random = measures.costs, report.random_costs
    answers, labels = report.answers[:, None], report.labels[:, None]
    drops, random_drops = own.drops.astype(np.float64), random.drops.astype(np.float64)
    attended, anywhere = float(drops.mean()), float(random_drops.mean())
    ratio, interval = None, None
    if anywhere > 0:
        ratio = attended / anywhere
    if anywhere > 0 and len(labels) > 1:
        rng = np.random.default_rng(report.config.seed)
        # One resample at a time: all at once would be thousands of times the pairs.
        draws = (rng.integers(0, len(labels), len(labels)) for _ in range(RESAMPLES))
        means = [(drops[drawn].mean(), random_drops[drawn].mean()) for drawn in draws]
        above, below = np.array(means).T
        # Where random squares cost nothing, the attended one costs any number of times more.
        ratios = np.divide(above, below, out=np.full_like(above, np.inf), where=below > 0)
        low, high = np.quantile(ratios, ENDS, method="nearest")
        interval = (float(low), float(high)) if np.isfinite(high) else None
    return HidingSummary(
        attended=attended,
        random=anywhere,
        ratio=ratio,
        ratio_interval=interval,
        accuracy=float(report.right.mean()),
        accuracy_attended=float((own.answers == labels).mean()),
        accuracy_random=float((random.answers == labels).mean()),
        changed_attended=float((own.answers != answers).mean()),
        changed_random=float((random.answers != answers).mean()),
    )


def summarise_streams(report: AttentionReport) -> dict[str, StreamSummary]:
    """Average the context's share and the attention's entropy over each class that occurs."""
    return {
        name: _stream_summary(report, report.labels == label)
        for label, name in enumerate(report.classes)
        if (report.labels == label).any()
    }


def to_dict(report: AttentionReport) -> dict[str, Any]:
    """Give what ``glamor attention --json`` writes; files by their names alone, to be passed on."""
    config = report.config
    return {
        "count": len(report.labels),
        "available": report.available,
        "accuracy": float(report.right.mean()),
        "methods": {
            kind.value: _method_dict(report, measures) for kind, measures in report.methods.items()
        },
        "random_order": _curves_dict(report.random_curves),
        "context_share": {name: asdict(one) for name, one in summarise_streams(report).items()}
        | {"all": asdict(_stream_summary(report, np.ones(len(report.labels), np.bool_)))},
        "store": config.store.resolve().name,
        "split": report.split,
        "learnt_pairs": report.pairs.learnt[0],
        "held_out": report.pairs.held_out,
        "chose_epoch": report.pairs.chose_epoch[0],
        "seed": config.seed,
        "hiding": asdict(config.hiding),
        "weights": report.weights.to_dict() | {"file": report.weights.file.name},
        "variant": report.variant.value,
        "runtime": report.engine.to_dict(),
        "environment": _environment(report),
    }


def _method_dict(report: AttentionReport, measures: MapMeasures) -> dict[str, Any]:
    entropy = measures.entropy
    place, right = measures.place, measures.place_right
    return {
        "entropy": {"mean": float(entropy.mean()), "deviation": _deviation(entropy)},
        "place": None if place is None else asdict(place),
        "place_right_answers": None if right is None else asdict(right),
        "hiding": asdict(summarise_hiding(report, measures)),
        **_curves_dict(measures.curves),
    }


def _curves_dict(curves: Curves) -> dict[str, Any]:
    return {
        "deletion_area": curves.deletion_area,
        "insertion_area": curves.insertion_area,
        "shares": _rounded(curves.shares),
        "deletion": _rounded(curves.deletion.mean(axis=0)),
        "insertion": _rounded(curves.insertion.mean(axis=0)),
    }


def _stream_summary(report: AttentionReport, chosen: NDArray[np.bool_]) -> StreamSummary:
    entropy = report.methods[MapKind.ATTENTION].entropy
    share = report.stream_weights[chosen, 1]
    return StreamSummary(
        count=len(share),
        mean=float(share.mean()),
        deviation=_deviation(share),
        entropy=float(entropy[chosen].mean()),
    )


def _deviation(values: NDArray[np.floating]) -> float | None:
    """Give the deviation of a sample, which a single value does not have."""
    return float(values.std(ddof=1)) if len(values) > 1 else None


def _rounded(values: NDArray[np.float32]) -> list[float]:
    return [round(float(value), 6) for value in values]


def _environment(report: AttentionReport) -> dict[str, str | int | float | None]:
    facts = describe_environment().to_dict()
    if MapKind.GRAD_CAM in report.methods:
        facts["captum"] = installed_version("captum")
    return facts
