"""The parts of a plan that need nothing of each other: each is a call that a process of its own can make.

What they return can be written as JSON. What is wrong with a strategy is its `reason` in there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from gradbench.errors import GradbenchError, UsageError
from gradbench.measure.fake import without_memory
from gradbench.measure.need import Needs, Subject
from gradbench.measure.precision import InPrecision
from gradbench.planning.on_gpu import OnGPU
from gradbench.planning.room import SMALLEST_BATCH, count_batch, count_depth
from gradbench.strategies import STRATEGIES
from gradbench.strategies.base import Strategy

__all__ = ["REFERENCE", "Asked", "begin", "check", "compare_times", "count"]

REFERENCE = "stored"


@dataclass(frozen=True)
class Asked:
    """What a plan is asked for.

    Attributes:
        subject: the network, its images and its training.
        memory: bytes that there are.
        batch: images, for the largest depth.
        gpu: where to check; None to predict alone.
    """

    subject: Subject
    memory: int
    batch: int
    gpu: torch.device | None

    def needs(self) -> Needs:
        """Return what tells the bytes of a step."""
        return Needs(self.subject, self.gpu or torch.device("cpu"))

    def strategy(self, name: str) -> Strategy:
        """Return the strategy of that name in the training's arithmetic."""
        return InPrecision(STRATEGIES.create(name), self.subject.precision)


def begin(asked: Asked, names: Sequence[str]) -> dict[str, Any]:
    """Return what stays from step to step, why strategies do not apply, and the bytes of the GPU that are free.

    Raises:
        UsageError: the network cannot make a stored step on these images, or the GPU has less memory than the plan.
    """
    free = None if asked.gpu is None else OnGPU(asked.subject, asked.memory, asked.gpu).free_bytes()
    needs, subject = asked.needs(), asked.subject
    try:
        needs.of(asked.strategy(REFERENCE), SMALLEST_BATCH, subject.depth)
        resident = needs.resident(subject.depth)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        size = f"{subject.image[0]}x{subject.image[1]}"
        raise UsageError(
            f"model {subject.name!r}: a step on {SMALLEST_BATCH} images (3, {size}) is not possible: {_first(error)}"
        ) from error
    reasons = {}
    with without_memory():
        model, _ = subject.on(needs.device, subject.depth)
        for name in names:
            try:
                reasons[name] = asked.strategy(name).applies_to(model)
            except Exception as error:  # whatever the code of others may do
                reasons[name] = _untold(error)
    return {"resident": asdict(resident), "reasons": reasons, "free": free}


def count(asked: Asked, name: str, parts: Sequence[str]) -> dict[str, Any]:
    """Return the attributes of a strategy's room that are told by counting: of its `parts`, "batch" and "depth"."""
    needs, strategy = asked.needs(), asked.strategy(name)
    found: dict[str, Any] = {}
    try:
        if reason := needs.excluded(strategy):
            return {"reason": reason}
        if "batch" in parts:
            found |= asdict(count_batch(needs, strategy, asked.memory, asked.batch))
        if "depth" in parts:
            found["largest_depth"] = count_depth(needs, strategy, asked.memory, asked.batch)
    except Exception as error:  # whatever code may do with tensors that have no values
        return {"reason": _untold(error)}
    return found


def check(asked: Asked, name: str, part: str, counted: int | None) -> dict[str, Any]:
    """Return what fits in truth on the GPU, of the `part` "batch" or "depth", looked for around what was counted.

    Raises:
        UsageError: others have so much of the GPU that less is left than the plan's memory.
    """
    assert asked.gpu is not None
    real, strategy = OnGPU(asked.subject, asked.memory, asked.gpu), asked.strategy(name)
    try:
        if part == "batch":
            return {"checked_batch": real.largest_batch(strategy, counted or SMALLEST_BATCH, SMALLEST_BATCH)}
        return {"checked_depth": real.largest_depth(strategy, counted or 1, asked.batch)}
    except GradbenchError:
        raise
    except Exception as error:  # whatever the code of a strategy may do
        return {"reason": f"a real step fails: {_first(error)}"}


def compare_times(asked: Asked, names: Sequence[str], images: int) -> dict[str, Any]:
    """Return the time of each strategy's step on the GPU over that of a stored one."""
    assert asked.gpu is not None
    try:
        real = OnGPU(asked.subject, asked.memory, asked.gpu)
        return {"ratios": real.time_ratios([asked.strategy(name) for name in names], images, REFERENCE)}
    except Exception as error:  # whatever the code of a strategy may do
        return {"reason": _first(error)}


def _untold(error: Exception) -> str:
    return f"cannot be told without running it: {_first(error)}"


def _first(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
