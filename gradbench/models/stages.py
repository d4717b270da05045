"""The plan of a network: how many blocks each stage gets, how wide it is, and what lies between two stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from gradbench.errors import UsageError

__all__ = ["Pooling", "Stage", "check_image_size", "plan_stages", "stage_depths"]

Pooling: TypeAlias = Literal["channel", "batch", "max"]


@dataclass(frozen=True)
class Stage:
    """The blocks between two poolings.

    Attributes:
        pooling: what stands before the stage; None before the first.
        channels: of the state.
        blocks: how many.
        branch_layers: convolutions, each with norm and activation, in each branch of a block.
        halvings: how often each side of the image was halved before.
        copies: parts of each image on the batch axis, 4 for each batch pooling before.
    """

    pooling: Pooling | None
    channels: int
    blocks: int
    branch_layers: int
    halvings: int
    copies: int

    @property
    def values(self) -> float:
        """Values of the state for each pixel of the image."""
        return self.channels * self.copies / 4**self.halvings


def plan_stages(
    width: int,
    pooling: Sequence[Pooling],
    depths: Sequence[int],
    branch_layers: Sequence[int],
    growth: Sequence[float] = (2,),
) -> tuple[Stage, ...]:
    """Return the stages of a network.

    Args:
        width: channels of the first.
        pooling: what stands between them.
        depths: blocks of each.
        branch_layers: of each.
        growth: what the first, second, ... max pooling multiplies the channels by, to a multiple of 4; the last for
            all that follow. Channel pooling multiplies them by 4, batch pooling leaves them.
    """
    stages = [Stage(None, width, depths[0], branch_layers[0], 0, 1)]
    factors = list(growth)
    for kind, blocks, layers in zip(pooling, depths[1:], branch_layers[1:], strict=True):
        before = stages[-1]
        channels = before.channels * (4 if kind == "channel" else 1)
        if kind == "max":
            channels = 4 * round(channels * (factors.pop(0) if len(factors) > 1 else factors[0]) / 4)
        copies = before.copies * (4 if kind == "batch" else 1)
        stages.append(Stage(kind, channels, blocks, layers, before.halvings + 1, copies))
    return tuple(stages)


def stage_depths(depth: int, stages: int) -> list[int]:
    """Spread `depth` over `stages`, as Hascoet et al. grow their networks: one each, then one more from the second on.

    >>> [stage_depths(depth, 3) for depth in (1, 2, 3, 4, 5, 6)]
    [[1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 2, 1], [1, 2, 2], [2, 2, 2]]
    """
    depths = [0] * stages
    for position in range(depth):
        depths[position if position < stages else (position + 1 - stages) % stages] += 1
    return depths


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
