"""Two networks on the same pairs: is the difference more than luck?

McNemar's exact test counts the pairs that only one of the two gets right. So does Newcombe's
interval of the difference in accuracy; for that in macro-F1, the bootstrap draws the same resamples
for both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from glamor_cli.evaluation.bootstrap import Interval, interval
from glamor_cli.evaluation.intervals import difference_interval
from glamor_cli.evaluation.metrics import Metrics

SIGNIFICANT = 0.05
"""A difference counts as significant where the adjusted p is below this."""


@dataclass(frozen=True)
class Difference:
    """How much more the second of two has.

    Attributes:
        value: The second's figure minus the first's.
        interval: Newcombe's of accuracy, the paired bootstrap's of macro-F1.
    """

    value: float
    interval: Interval | None


@dataclass(frozen=True)
class Pairing:
    """Two networks against each other.

    Attributes:
        first: Letter of the one.
        second: Letter of the other.
        both_right: Pairs that both get right.
        first_only: Pairs that only the first gets right.
        second_only: Pairs that only the second gets right.
        both_wrong: Pairs that both get wrong.
        different: Pairs that they answer differently.
        p: Of McNemar's exact test, two-sided: how often luck alone would put ``first_only`` and
            ``second_only`` at least this far apart if the two were equally good.
        adjusted_p: The same after Holm's correction for all pairings of the comparison.
        accuracy: The difference in accuracy.
        macro_f1: The difference in macro-F1.
    """

    first: str
    second: str
    both_right: int
    first_only: int
    second_only: int
    both_wrong: int
    different: int
    p: float
    adjusted_p: float
    accuracy: Difference
    macro_f1: Difference

    @property
    def better(self) -> str | None:
        """Letter of the one that is more often right, beyond luck; None where none is."""
        if self.adjusted_p >= SIGNIFICANT:
            return None
        return self.second if self.second_only > self.first_only else self.first


def pair_up(
    letters: Sequence[str],
    answers: NDArray[np.int64],
    labels: NDArray[np.int64],
    metrics: Sequence[Metrics],
    resampled: NDArray[np.float64],
) -> tuple[Pairing, ...]:
    """Set each two of K networks against each other.

    Args:
        letters: K names of one letter.
        answers: int64 [K, N].
        labels: int64 [N].
        metrics: K, the figures.
        resampled: float64 [K, R], the macro-F1 on the same R resamples of the pairs.
    """
    right = answers == labels  # (K, N)
    chosen = list(combinations(range(len(letters)), 2))
    counts = [_count(right[i], right[j]) for i, j in chosen]
    values = [mcnemar(first_only, second_only) for _, first_only, second_only, _ in counts]
    return tuple(
        Pairing(
            first=letters[i],
            second=letters[j],
            both_right=both,
            first_only=first_only,
            second_only=second_only,
            both_wrong=neither,
            different=int((answers[i] != answers[j]).sum()),
            p=p,
            adjusted_p=adjusted,
            accuracy=Difference(
                metrics[j].accuracy - metrics[i].accuracy,
                difference_interval(both, first_only, second_only, neither),
            ),
            macro_f1=Difference(
                metrics[j].macro_f1 - metrics[i].macro_f1,
                interval(resampled[j] - resampled[i]),
            ),
        )
        for (i, j), (both, first_only, second_only, neither), p, adjusted in zip(
            chosen, counts, values, adjust_holm(values), strict=True
        )
    )


def _count(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Count the pairs that both, only the first, only the second and neither get right."""
    both, either = int((first & second).sum()), int((first | second).sum())
    return both, int(first.sum()) - both, int(second.sum()) - both, len(first) - either


def mcnemar(first_only: int, second_only: int) -> float:
    """Compute the two-sided p of McNemar's exact (binomial) test.

    Args:
        first_only: Pairs that only the first gets right.
        second_only: Pairs that only the second gets right.
    """
    # Not scipy.stats, which has this test, but takes a second to import.
    from scipy.special import bdtr

    fewer, discordant = min(first_only, second_only), first_only + second_only
    return min(1.0, 2 * float(bdtr(fewer, discordant, 0.5)))


def adjust_holm(values: Sequence[float]) -> list[float]:
    """Correct p values for their number by Holm's method (1979), in the order given."""
    adjusted = [0.0] * len(values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=lambda index: values[index])):
        largest = max(largest, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = largest
    return adjusted
