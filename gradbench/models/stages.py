"""How many layers or blocks each stage gets, and what lies between two stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from gradbench.errors import UsageError
from gradbench.invertible import BatchPooling, ChannelPooling

__all__ = ["Pooling", "check_image_size", "make_pooling", "stage_depths"]

Pooling: TypeAlias = Literal["channel", "batch"]


def stage_depths(depth: int, stages: int) -> list[int]:
    """Spread `depth` over `stages`, as Hascoet et al. grow their networks: one each, then one more from the second on.

    >>> [stage_depths(depth, 3) for depth in (1, 2, 3, 4, 5, 6)]
    [[1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 2, 1], [1, 2, 2], [2, 2, 2]]
    """
    depths = [0] * stages
    for position in range(depth):
        depths[position if position < stages else (position + 1 - stages) % stages] += 1
    return depths


def make_pooling(kind: Pooling) -> ChannelPooling | BatchPooling:
    """Return the pooling of that name."""
    return ChannelPooling() if kind == "channel" else BatchPooling()


def check_image_size(image_size: int, pooling: Sequence[Pooling]) -> None:
    """Check that every pooling can halve the image.

    Raises:
        UsageError: it cannot.
    """
    divisor = 2 ** len(pooling)
    if image_size % divisor:
        nearest = max(divisor, round(image_size / divisor) * divisor)
        raise UsageError(
            f"data.image_size {image_size} does not fit model.pooling: each of the {len(pooling)} poolings halves the "
            f"image, so it must be a multiple of {divisor}, for example {nearest}"
        )
