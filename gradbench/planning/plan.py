"""The back-of-the-envelope table: for each strategy the largest batch and depth that fit into a memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from gradbench.errors import UsageError
from gradbench.measure.need import Needs, Resident, Subject
from gradbench.measure.precision import InPrecision
from gradbench.measure.search import largest
from gradbench.planning.on_gpu import OnGPU
from gradbench.strategies import STRATEGIES
from gradbench.strategies.base import Strategy

__all__ = ["LARGEST_BATCH", "LARGEST_DEPTH", "Plan", "Room", "make_plan", "usual_strategies"]

#: Where the search ends.
LARGEST_BATCH, LARGEST_DEPTH = 2**20, 1024
#: A batch norm needs two images where an image has one position left.
_SMALLEST_BATCH = 2
#: Depths to ask for, in periods: a step on tensors without values takes the longer the deeper the network is.
_PERIODS_ASKED = 4
_REFERENCE = "stored"


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
        checked_batch: the largest batch of which real steps fit on the GPU; None without one.
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
class Plan:
    """The table and what it rests on.

    Attributes:
        model: as it was asked for.
        depth: the model's own; None where it has none to choose.
        image: height and width in pixels.
        batch: images, for the largest depth.
        memory: bytes that there are.
        resident: what stays from step to step at the model's own depth.
        rooms: a row a strategy.
    """

    model: str
    depth: int | None
    image: tuple[int, int]
    batch: int
    memory: int
    resident: Resident
    rooms: tuple[Room, ...]


def usual_strategies() -> list[str]:
    """Return one of each strategy of the table: of those that need an argument the middle one that is listed."""
    return [
        f"{name}:{entry.allowed[len(entry.allowed) // 2]}" if entry.argument and not entry.optional else name
        for name, entry in STRATEGIES.items()
        if entry.allowed or not entry.argument or entry.optional
    ]


def make_plan(
    subject: Subject,
    memory: int,
    batch: int,
    strategies: Sequence[str],
    gpu: torch.device | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Plan:
    """Predict what fits, and check it with real steps on a GPU.

    Args:
        subject: the network, its images and its training.
        memory: bytes that there are.
        batch: images, for the largest depth.
        strategies: names.
        gpu: where to check; None to predict alone.
        say: is told what is being done.

    Raises:
        UsageError: the name of a strategy is wrong, or the network cannot make a stored step on these images.
    """
    needs = Needs(subject, gpu or torch.device("cpu"))
    planned = [InPrecision(STRATEGIES.create(name), subject.precision) for name in dict.fromkeys(strategies)]
    try:
        needs.of(InPrecision(STRATEGIES.create(_REFERENCE), subject.precision), _SMALLEST_BATCH, subject.depth)
        resident = needs.resident(subject.depth)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        size = f"{subject.image[0]}x{subject.image[1]}"
        raise UsageError(
            f"model {subject.name!r}: a step on {_SMALLEST_BATCH} images (3, {size}) is not possible: {_first(error)}"
        ) from error
    rooms = []
    for place, strategy in enumerate(planned, 1):
        say(f"planning {strategy.name}, {place} of {len(planned)}")
        rooms.append(_room(needs, strategy, memory, batch))
    if gpu is not None:
        rooms = list(_checked(OnGPU(subject, memory, gpu), planned, rooms, batch, say))
    return Plan(subject.name, subject.depth, subject.image, batch, memory, resident, tuple(rooms))


def _room(needs: Needs, strategy: Strategy, memory: int, batch: int) -> Room:
    if reason := needs.excluded(strategy):
        return Room(strategy.name, reason)
    depth = needs.subject.depth
    try:
        need = needs.by_images(strategy, memory, batch, depth)
        fits = largest(need, memory, _SMALLEST_BATCH, LARGEST_BATCH, second=batch)
        # Between half of what fits and all of it a step takes what a larger one takes, pixel by pixel.
        count = max(fits or 0, 2 * _SMALLEST_BATCH)
        slope = (need(count) - need(count // 2)) / (count - count // 2)
        deepest = None
        if depth is not None:
            deepest = _deepest(needs, strategy, memory, batch, depth)
    except Exception as error:
        return Room(strategy.name, f"cannot be told without running it: {_first(error)}")
    return Room(
        strategy.name,
        bytes_per_pixel=slope / needs.subject.pixels,
        fixed_bytes=round(need(count) - slope * count),
        largest_batch=fits,
        largest_depth=deepest,
    )


def _deepest(needs: Needs, strategy: Strategy, memory: int, batch: int, own: int) -> int | None:
    """Return the largest depth.

    What a deep network takes is told from one of a few blocks a stage: the step of a deep network takes long, and its
    last blocks add no less than the first do.
    """
    if needs.of(strategy, batch, own) > memory:
        return largest(lambda depth: needs.of(strategy, batch, depth), memory, 1, own, second=max(1, own // 2))
    asked = max(own, _PERIODS_ASKED * needs.subject.period)
    return largest(needs.by_depth(strategy, batch, asked), memory, own, LARGEST_DEPTH, second=asked)


def _checked(
    real: OnGPU, strategies: Sequence[Strategy], rooms: Sequence[Room], batch: int, say: Callable[[str], None]
) -> Iterator[Room]:
    """Yield the rows with what was found on the GPU."""
    depth = real.subject.depth
    checked = []
    for strategy, room in zip(strategies, rooms, strict=True):
        if not room.reason:
            say(f"checking {strategy.name}")
            try:
                largest_batch = real.largest_batch(strategy, room.largest_batch or _SMALLEST_BATCH, _SMALLEST_BATCH)
                largest_depth = None
                if depth is not None:
                    largest_depth = real.largest_depth(strategy, room.largest_depth or 1, batch)
                room = replace(room, checked_batch=largest_batch, checked_depth=largest_depth)
            except Exception as error:
                room = Room(strategy.name, f"a real step fails: {_first(error)}")
        checked.append(room)
    possible = [strategy for strategy, room in zip(strategies, checked, strict=True) if room.checked_batch]
    count = min((room.checked_batch for room in checked if room.checked_batch), default=0)
    ratios = real.time_ratios(possible, count, _REFERENCE) if count else {}
    for room in checked:
        yield replace(room, time_ratio=ratios.get(room.strategy))


def _first(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
