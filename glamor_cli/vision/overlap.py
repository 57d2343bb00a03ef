"""How much boxes overlap, and which of those that do are kept."""

import numpy as np
from numpy.typing import NDArray


def non_maximum_suppression(boxes: NDArray[np.float32], iou_threshold: float) -> NDArray[np.intp]:
    """Suppress boxes greedily that are not the best where they lie.

    Args:
        boxes: float32 [n, 4] as x1, y1, x2, y2, the best first.
        iou_threshold: Boxes that overlap a better one by at least this are dropped.

    Returns:
        The indices that stay, in order.
    """
    keep = []
    rest = np.arange(len(boxes))
    while len(rest):
        best, rest = rest[0], rest[1:]
        keep.append(best)
        rest = rest[intersection_over_union(boxes[best], boxes[rest]) < iou_threshold]
    return np.array(keep, np.intp)


def intersection_over_union(
    box: NDArray[np.float32], others: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The overlap of one box [4] with others [n, 4], as shares of their unions, [n]."""
    corners = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared: NDArray[np.float32] = np.maximum(corners, 0).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1)
    shares: NDArray[np.float32] = shared / ((box[2:] - box[:2]).prod() + areas - shared)
    return shares
