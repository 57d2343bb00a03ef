"""What hiding parts of the context costs: is what the network looks at what it answers by?

A map of importance over the context (the attention, or Grad-CAM's) is brought to the context's
pixels by `interpolate_attention`. Then parts of the context are hidden, the network is asked again,
and the probability of its first answer is watched:

* The square region that holds most of the map against squares of the same size anywhere.
* Deletion: hide the pixels from the most important on; a good map makes the probability fall fast.
* Insertion: begin with everything hidden and show the pixels from the most important on; a good
  map makes it rise fast. (Both after Petsiuk, Das and Saenko, "RISE", BMVC 2018; they hide with
  black and insert into a blurred image, here both begin with the same `Fill`.)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from glamor_cli.errors import ConfigError
from glamor_cli.evaluation.attention.options import MOST_HIDINGS, REGIONS, STEPS, Fill
from glamor_cli.network.config import CONTEXT_SIZE
from glamor_cli.runtimes.interface import Runtime
from glamor_cli.settings import choose, require_positive, settle_choices
from glamor_cli.vision.attention_map import (
    REGION,
    Region,
    extreme_squares,
    has_peak,
    interpolate_attention,
    region_mask,
)
from glamor_cli.vision.pairs import to_uint8

Draws = Sequence[np.random.Generator]
"""A generator for each pair, so that its figures do not depend on which pairs are beside it."""

_BLUR = 12
"""Radius of the blur that hides, in pixels of the 112x112 context: no disc or face survives it."""


@dataclass(frozen=True)
class HidingConfig:
    """How the context is hidden.

    Attributes:
        fill: What hidden pixels are replaced by.
        regions: Random squares for each pair.
        side: Of the squares, in pixels of the 112x112 context.
        steps: Of the deletion and insertion curves.

    Raises:
        ConfigError: No such fill, no regions, no steps, more of either than the context has pixels,
            or a side that does not fit into it.
    """

    fill: Fill = Fill.BLACK
    regions: int = REGIONS
    side: int = REGION
    steps: int = STEPS

    def __post_init__(self) -> None:
        settle_choices(self, fill=Fill)
        require_positive(self.regions, "the number of random regions", "--regions")
        require_positive(self.steps, "the number of steps", "--steps")
        if max(self.regions, self.steps) > MOST_HIDINGS:
            raise ConfigError(
                f"there must be at most {MOST_HIDINGS} random regions and steps, not "
                f"{max(self.regions, self.steps)}",
                "Give fewer.",
            )
        if not 1 <= self.side < CONTEXT_SIZE:
            raise ConfigError(
                f"the side of a region must be 1 to {CONTEXT_SIZE - 1} pixels, not {self.side}",
                f"Give 1 to {CONTEXT_SIZE - 1} pixels.",
            )


@dataclass(frozen=True, eq=False)
class Costs:
    """What hiding one square costs, pair by pair.

    Attributes:
        drops: float32 [N]: how far the first answer's probability falls; of random squares, the
            mean over several.
        answers: int64 [N, squares]: the answers then.
    """

    drops: NDArray[np.float32]
    answers: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Curves:
    """Probability of the first answer while the context is deleted and inserted.

    Attributes:
        shares: float32 [steps + 1]: share of the pixels that is hidden, or shown.
        deletion: float32 [N, steps + 1].
        insertion: float32 [N, steps + 1].
    """

    shares: NDArray[np.float32]
    deletion: NDArray[np.float32]
    insertion: NDArray[np.float32]

    @property
    def deletion_area(self) -> float:
        """Mean area under the deletion curves; the lower, the better the map."""
        return _area(self.deletion, self.shares)

    @property
    def insertion_area(self) -> float:
        """Mean area under the insertion curves; the higher, the better the map."""
        return _area(self.insertion, self.shares)


class Occluder:
    """Asks a network again about a batch of pairs whose contexts are partly hidden.

    Args:
        runtime: The network.
        faces: float32 [B, 3, 96, 96], RGB in [0, 1].
        contexts: float32 [B, 3, 112, 112], RGB in [0, 1].
        probabilities: float32 [B, classes]: its answers with nothing hidden.
        config: How to hide.
    """

    def __init__(
        self,
        runtime: Runtime,
        faces: NDArray[np.float32],
        contexts: NDArray[np.float32],
        probabilities: NDArray[np.float32],
        config: HidingConfig,
    ) -> None:
        # The faces stay the same however often the network is asked.
        self._answer, self._contexts = runtime.about(faces), contexts
        self._config = config
        self._first = probabilities.argmax(axis=1)
        self._each = np.arange(len(faces))
        self._whole = probabilities[self._each, self._first]
        self._filling = make_filling(contexts, config.fill)
        self._blank: NDArray[np.float32] | None = None

    def highest(self, maps: NDArray[np.float32], draws: Draws) -> Costs:
        """Hide the square that holds most of each map; a map that is even has it anywhere.

        Args:
            maps: float32 [B, h, w], not negative.
            draws: Place the squares of even maps.
        """
        side = self._config.side
        squares = [
            extreme_squares(one, side)[0] if has_peak(one) else _random_square(draw, side)
            for one, draw in zip(maps, draws, strict=True)
        ]
        hidden = np.stack([region_mask(square) for square in squares])
        left, answers = self._ask(hidden)
        return Costs(self._whole - left, answers[:, None])

    def anywhere(self, draws: Draws) -> Costs:
        """Hide squares of the same size, placed anywhere alike."""
        side, size = self._config.side, (self._config.regions, 2)
        corners = [one.integers(0, CONTEXT_SIZE - side + 1, size).tolist() for one in draws]
        drops, answers = [], []
        for places in zip(*corners, strict=True):
            hidden = np.stack([region_mask(Region(x, y, x + side, y + side)) for x, y in places])
            left, then = self._ask(hidden)
            drops.append(self._whole - left)
            answers.append(then)
        return Costs(np.mean(drops, axis=0, dtype=np.float32), np.stack(answers, axis=1))

    def curves(self, maps: NDArray[np.float32], draws: Draws) -> Curves:
        """Delete and insert the context in the order of each map.

        Args:
            maps: float32 [B, h, w], not negative.
            draws: Order pixels of the same importance.
        """
        steps, pixels = self._config.steps, CONTEXT_SIZE * CONTEXT_SIZE
        ranks = np.stack(list(map(_ranks, maps, draws)))  # (B, 112, 112), 0 is most important
        shares = np.linspace(0, 1, steps + 1, dtype=np.float32)
        blank = self._without_context()
        deletion, insertion = [self._whole], [blank]
        for share in shares[1:-1]:
            first = ranks < round(float(share) * pixels)
            deletion.append(self._ask(first)[0])
            insertion.append(self._ask(~first)[0])
        return Curves(
            shares,
            np.stack([*deletion, blank], axis=1),
            np.stack([*insertion, self._whole], axis=1),
        )

    def _without_context(self) -> NDArray[np.float32]:
        if self._blank is None:
            everything = np.ones((len(self._contexts), CONTEXT_SIZE, CONTEXT_SIZE), np.bool_)
            self._blank = self._ask(everything)[0]
        return self._blank

    def _ask(self, hidden: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Give the first answer's probability and the answer with pixels [B, 112, 112] hidden."""
        contexts = np.where(hidden[:, None], self._filling, self._contexts)
        probabilities = self._answer(contexts).probabilities
        return probabilities[self._each, self._first], probabilities.argmax(axis=1)


def _random_square(draw: np.random.Generator, side: int) -> Region:
    x, y = draw.integers(0, CONTEXT_SIZE - side + 1, 2).tolist()
    return Region(x, y, x + side, y + side)


def random_maps(grid: tuple[int, int], draws: Draws) -> NDArray[np.float32]:
    """Make maps that know nothing, as smooth as the others: float32 [B, h, w]."""
    return np.stack([one.random(grid, np.float32) for one in draws])


def make_filling(contexts: NDArray[np.float32], fill: Fill) -> NDArray[np.float32]:
    """Make what hidden pixels show.

    Args:
        contexts: float32 [B, 3, 112, 112], RGB in [0, 1].
        fill: What kind.

    Returns:
        float32 of the same shape.

    Raises:
        ConfigError: There is no such kind.
    """
    fill = choose(Fill, fill, "fill")
    if fill is Fill.BLACK:
        return np.zeros_like(contexts)
    if fill is Fill.MEAN:
        means = contexts.mean(axis=(2, 3), keepdims=True)
        return np.broadcast_to(means, contexts.shape)
    blurred = []
    for context in contexts:
        image = Image.fromarray(to_uint8(context.transpose(1, 2, 0)))
        soft = np.asarray(image.filter(ImageFilter.GaussianBlur(_BLUR)), np.float32)
        blurred.append(soft.transpose(2, 0, 1) / np.float32(255))
    return np.stack(blurred)


def _area(curves: NDArray[np.float32], shares: NDArray[np.float32]) -> float:
    """Mean area under curves [N, steps + 1], by trapezoids."""
    return float(np.trapezoid(curves.mean(axis=0, dtype=np.float64), shares))


def _ranks(values: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.int64]:
    """Rank the context's pixels by a map [h, w], the most important first: int64 [112, 112]."""
    fine = interpolate_attention(values).ravel()
    # Grad-CAM is zero over wide areas; in the order of rows these would be hidden from the top.
    order = np.lexsort((rng.random(fine.size), -fine))
    ranks = np.empty(fine.size, np.int64)
    ranks[order] = np.arange(fine.size)
    return ranks.reshape(CONTEXT_SIZE, CONTEXT_SIZE)
