"""The back-of-the-envelope table: for each strategy the largest batch and depth that fit into a memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from gradbench.errors import EnvironmentError
from gradbench.measure.need import Resident, Subject
from gradbench.planning.calls import Asked, begin, check, compare_times, count
from gradbench.planning.crew import Call, Crew, Progress
from gradbench.planning.room import LARGEST_BATCH, LARGEST_DEPTH, Room
from gradbench.strategies import STRATEGIES

__all__ = ["LARGEST_BATCH", "LARGEST_DEPTH", "Plan", "Progress", "Room", "make_plan", "usual_strategies"]

#: What the driver takes of a GPU for a process, generously; torch's allocator does not count it.
_CONTEXT_BYTES = 2**30


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
        untimed: why there is no time of a step on a GPU, in one sentence; empty otherwise.
    """

    model: str
    depth: int | None
    image: tuple[int, int]
    batch: int
    memory: int
    resident: Resident
    rooms: tuple[Room, ...]
    untimed: str = ""


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
    jobs: int = 1,
    tell: Callable[[Progress], None] = lambda progress: None,
) -> Plan:
    """Predict what fits, and check it with real steps on a GPU.

    Args:
        subject: the network, its images and its training.
        memory: bytes that there are.
        batch: images, for the largest depth.
        strategies: names.
        gpu: where to check; None to predict alone.
        jobs: how many processes to use; with 1 all is done in this one. What is found is the same. The subject must
            be one that can be pickled if there are more.
        tell: hears how far it is.

    Raises:
        UsageError: the name of a strategy is wrong, the network cannot make a stored step on these images, or the GPU
            has less memory than that.
        EnvironmentError: no process can be started on this machine.
        KeyboardInterrupt: the user wants no more.
    """
    asked, crew = Asked(subject, memory, batch, gpu), Crew(jobs, tell)
    names = list(dict.fromkeys(asked.strategy(name).name for name in strategies))
    (begun,) = crew.make("beginning", [Call(subject.name, begin, (asked, names))])
    if reason := begun.get("reason"):
        raise EnvironmentError(f"no step of {subject.name} can be counted: {reason}")
    rooms = [Room(name, begun["reasons"][name] or "") for name in names]
    rooms = _counted(crew, asked, rooms, jobs, begun["free"])
    untimed = ""
    if gpu is not None:
        rooms = _checked(crew, asked, rooms, begun["free"])
        rooms, untimed = _timed(crew, asked, rooms)
    return Plan(
        subject.name, subject.depth, subject.image, batch, memory, Resident(**begun["resident"]), tuple(rooms), untimed
    )


def _counted(crew: Crew, asked: Asked, rooms: Sequence[Room], jobs: int, free: int | None) -> list[Room]:
    possible = [room.strategy for room in rooms if not room.reason]
    # Both parts ask for one step: to divide them pays where a process would have nothing to do.
    divide = jobs > len(possible) and asked.subject.depth is not None
    parts = [("depth",), ("batch",)] if divide else [("batch", "depth")]
    calls = [Call(name, count, (asked, name, part)) for part in parts for name in possible]
    return _with(crew, "counting", rooms, calls, None if free is None else max(1, free // _CONTEXT_BYTES))


def _checked(crew: Crew, asked: Asked, rooms: Sequence[Room], free: int) -> list[Room]:
    # A deep network keeps a core busy and a large batch the GPU, so that the two go well together.
    possible = [room for room in rooms if not room.reason]
    calls = [Call(room.strategy, check, (asked, room.strategy, "batch", room.largest_batch)) for room in possible]
    if asked.subject.depth is not None:
        deep = [Call(room.strategy, check, (asked, room.strategy, "depth", room.largest_depth)) for room in possible]
        calls = [call for both in zip(deep, calls, strict=True) for call in both]
    return _with(crew, "checking", rooms, calls, max(1, free // (asked.memory + _CONTEXT_BYTES)))


def _timed(crew: Crew, asked: Asked, rooms: Sequence[Room]) -> tuple[list[Room], str]:
    possible = {room.strategy: room.checked_batch for room in rooms if room.checked_batch}
    if not possible:
        return list(rooms), ""
    call = Call("a step", compare_times, (asked, list(possible), min(possible.values())))
    (found,) = crew.make("timing", [call])
    ratios = found.get("ratios", {})
    return [replace(room, time_ratio=ratios.get(room.strategy)) for room in rooms], found.get("reason", "")


def _with(crew: Crew, doing: str, rooms: Sequence[Room], calls: Sequence[Call], most: int | None = None) -> list[Room]:
    """Return the rooms with what the calls found of them; a room with a reason has nothing else."""
    found: dict[str, dict[str, Any]] = {}
    for call, result in zip(calls, crew.make(doing, calls, most), strict=True):
        found.setdefault(call.of, {}).update(result)
    return [_room(room, found.get(room.strategy, {})) for room in rooms]


def _room(room: Room, found: dict[str, Any]) -> Room:
    return Room(room.strategy, found["reason"]) if "reason" in found else replace(room, **found)
