"""What a strategy costs: memory of a step, and its time as a ratio to stored training, measured in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from gradbench.measure.batch import Batch, Loss, tensors
from gradbench.measure.gradients import preserved
from gradbench.measure.memory import StepMemory, step_memory
from gradbench.measure.step import forward_passes, run_passes
from gradbench.strategies.base import Strategy

__all__ = ["Cost", "measure_cost"]


@dataclass(frozen=True)
class Cost:
    """Memory of one step in bytes, and the median time of one forward and backward pass in seconds.

    There is no memory where measuring it would be that of another program: following storages, which is how it is
    measured without a CUDA allocator, switches `torch.compile` off.
    """

    memory: StepMemory | None
    step_seconds: float


def measure_cost(
    model: nn.Module,
    strategies: Sequence[Strategy],
    batch: Batch,
    repeats: int,
    beside: Callable[[], AbstractContextManager[None]] = nullcontext,
    alone: Callable[[], AbstractContextManager[None]] = nullcontext,
    loss: Loss = F.cross_entropy,
) -> Mapping[str, Cost]:
    """Measure every strategy's step on the same batch: memory once, then time in turn (A B A B).

    Args:
        model: in training mode; left as it was.
        strategies: names must differ.
        batch: inputs and target on the model's device.
        repeats: timed steps of each strategy; the median counts.
        beside: gives the context in which others may use the device, for warming up and for memory.
        alone: gives the context in which nothing else uses it, for the timed part.
        loss: from output and target to the loss.
    """
    device = next(model.parameters()).device
    memory: dict[str, StepMemory | None] = {}
    seconds: dict[str, list[float]] = {strategy.name: [] for strategy in strategies}
    with preserved(model):
        with beside():
            for strategy in strategies:
                model.zero_grad(set_to_none=True)
                with strategy.applied_to(model):
                    passes = forward_passes(model, strategy, batch, loss)
                    run_passes(passes)
                    seen = device.type == "cuda" or not strategy.compiles
                    memory[strategy.name] = step_memory(model, list(tensors(batch)), *passes) if seen else None
            _now(device)  # what was sent to the device ends before others may have it alone
        with alone():
            for _ in range(repeats):
                for strategy in strategies:
                    model.zero_grad(set_to_none=True)
                    with strategy.applied_to(model):
                        passes = forward_passes(model, strategy, batch, loss)
                        started = _now(device)
                        run_passes(passes)
                        seconds[strategy.name].append(_now(device) - started)
    return {name: Cost(memory[name], statistics.median(times)) for name, times in seconds.items()}


def _now(device: torch.device) -> float:
    """Return a clock in seconds, after everything that was sent to the device has run."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
