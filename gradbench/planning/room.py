"""What fits with one strategy, counted without taking the memory."""

from __future__ import annotations

from dataclasses import dataclass

from gradbench.measure.need import Needs
from gradbench.measure.search import largest
from gradbench.strategies.base import Strategy

__all__ = ["LARGEST_BATCH", "LARGEST_DEPTH", "SMALLEST_BATCH", "Batches", "Room", "count_batch", "count_depth"]

#: Where the search ends.
LARGEST_BATCH, LARGEST_DEPTH = 2**20, 1024
#: A batch norm needs two images where an image has one position left.
SMALLEST_BATCH = 2
#: Depths to ask for, in periods: a step on tensors without values takes the longer the deeper the network is.
_PERIODS_ASKED = 4


@dataclass(frozen=True)
class Room:
    """What fits with one strategy.

    Attributes:
        strategy: its name.
        reason: why there are no numbers; empty otherwise.
        bytes_per_pixel: what each further pixel of the batch takes, the image itself among it.
        fixed_bytes: what a step takes beside that: weights, gradients and optimiser state, as far as they are there
            while the most memory is taken.
        largest_batch: at the model's own depth; None where the smallest does not fit.
        largest_depth: at the plan's batch; None where depth 1 does not fit, or the model has none to choose.
        checked_batch: a batch of which real steps fit on the GPU, and of one a 64th larger do not; None without one.
        checked_depth: the same of the depth.
        time_ratio: of a step on the GPU to a stored one, on the largest batch that fits with every strategy.
    """

    strategy: str
    reason: str = ""
    bytes_per_pixel: float | None = None
    fixed_bytes: int | None = None
    largest_batch: int | None = None
    largest_depth: int | None = None
    checked_batch: int | None = None
    checked_depth: int | None = None
    time_ratio: float | None = None


@dataclass(frozen=True)
class Batches:
    """What the batch takes with a strategy, as the attributes of a room of these names."""

    bytes_per_pixel: float
    fixed_bytes: int
    largest_batch: int | None


def count_batch(needs: Needs, strategy: Strategy, memory: int, batch: int) -> Batches:
    """Return what each pixel takes, and the largest batch that fits into `memory` bytes; `batch` is asked for first."""
    need = needs.by_images(strategy, memory, batch, needs.subject.depth)
    fits = largest(need, memory, SMALLEST_BATCH, LARGEST_BATCH, second=max(batch, SMALLEST_BATCH + 1))
    # Between half of what fits and all of it a step takes what a larger one takes, pixel by pixel.
    count = max(fits or 0, 2 * SMALLEST_BATCH)
    slope = (need(count) - need(count // 2)) / (count - count // 2)
    return Batches(slope / needs.subject.pixels, round(need(count) - slope * count), fits)


def count_depth(needs: Needs, strategy: Strategy, memory: int, batch: int) -> int | None:
    """Return the largest depth of which a step on `batch` images fits; None where there is none, or none to choose.

    What a deep network takes is told from one of a few blocks a stage: the step of a deep network takes long, and its
    last blocks add no less than the first do.
    """
    own = needs.subject.depth
    if own is None:
        return None
    if needs.of(strategy, batch, own) > memory:
        return largest(lambda depth: needs.of(strategy, batch, depth), memory, 1, own, second=max(2, own // 2))
    asked = max(own, _PERIODS_ASKED * needs.subject.period)
    return largest(needs.by_depth(strategy, batch, asked), memory, own, LARGEST_DEPTH, second=max(asked, own + 1))
