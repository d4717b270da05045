"""How much memory a training step needs: by the CUDA allocator, elsewhere by following every live storage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from gradbench.measure.live_storages import LiveStorages

__all__ = ["LiveStorages", "StepMemory", "step_memory"]


@dataclass(frozen=True)
class StepMemory:
    """Bytes of one forward and backward pass above what was resident: weights, optimiser state, the batch.

    Attributes:
        peak: the most that was alive at once, the weights' gradients among it.
        saved: alive between the forward and the backward pass; of a step in parts, the most of any part, with the
            gradients of those before.
        left: alive after the backward pass beyond the weights' gradients.
        moments: alive after each operation, in order, where storages are followed.
    """

    peak: int
    saved: int
    left: int
    moments: tuple[int, ...] = field(default=(), repr=False, compare=False)


def step_memory(model: nn.Module, batch: Sequence[Tensor], *forwards: Callable[[], Tensor]) -> StepMemory:
    """Measure one step: a forward pass returns the loss, whose backward pass is then run, before that of the next part.

    On a GPU the CUDA allocator is asked. Elsewhere, and of a model of fake tensors (`FakeTensorMode`), which need no
    memory, the storages on the model's device are followed. Following them switches `torch.compile` off.

    Args:
        model: its gradients are dropped before and after.
        batch: what the forward passes read, on the model's device; it was there before and is not counted.
        forwards: each runs the model and the loss, on the minibatch or on a part of it.
    """
    model.zero_grad(set_to_none=True)
    weight = next(model.parameters())
    device = weight.device
    measure = _cuda_step if device.type == "cuda" and not isinstance(weight, FakeTensor) else _tracked_step
    memory = measure(model, batch, forwards, device)
    model.zero_grad(set_to_none=True)
    return memory


def _gradient_bytes(model: nn.Module) -> int:
    return sum(p.grad.untyped_storage().nbytes() for p in model.parameters() if p.grad is not None)


def _cuda_step(
    model: nn.Module, batch: Sequence[Tensor], forwards: Sequence[Callable[[], Tensor]], device: torch.device
) -> StepMemory:
    before = _requested(device, "current")
    torch.cuda.reset_peak_memory_stats(device)
    saved = 0
    for forward in forwards:
        loss = forward()
        saved = max(saved, _requested(device, "current") - before)
        loss.backward()
        del loss
    peak = _requested(device, "peak") - before
    left = _requested(device, "current") - before - _gradient_bytes(model)
    return StepMemory(peak, saved, left)


def _requested(device: torch.device, which: str) -> int:
    """Return the bytes that were asked of the CUDA allocator, without what it rounds up."""
    return int(torch.cuda.memory_stats(device)[f"requested_bytes.all.{which}"])


def _tracked_step(
    model: nn.Module, batch: Sequence[Tensor], forwards: Sequence[Callable[[], Tensor]], device: torch.device
) -> StepMemory:
    # Under a mode torch compiles nothing, and what it met there it never compiles again: it is not to be met.
    with torch.compiler.set_stance("force_eager"), LiveStorages(device) as live:
        live.ignore(*model.parameters(), *model.buffers(), *batch)
        saved = 0
        for forward in forwards:
            loss = forward()
            saved = max(saved, live.now)
            loss.backward()
            del loss
        return StepMemory(live.peak, saved, live.now - _gradient_bytes(model), tuple(live.moments))
