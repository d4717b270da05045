"""How much memory a training step needs: by the CUDA allocator, elsewhere by following every live storage."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["LiveStorages", "StepMemory", "step_memory"]


@dataclass(frozen=True)
class StepMemory:
    """Bytes of one forward and backward pass above what was resident: weights, optimiser state, the batch.

    Attributes:
        peak: the most that was alive at once, the weights' gradients among it.
        saved: alive between the forward and the backward pass.
        left: alive after the backward pass beyond the weights' gradients.
    """

    peak: int
    saved: int
    left: int


class LiveStorages(TorchDispatchMode):
    """Counts the bytes of all storages that operations make while the mode is on, until each is freed.

    Unlike saved-tensor hooks it also sees what a custom autograd function keeps on its context. It sees storages that
    appear in the result of an operation, so not an operation's inner workspace.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.peak = 0
        self._seen: set[int] = set()

    def ignore(self, *tensors: Tensor) -> None:
        """Do not count the storages of these tensors, which were there before."""
        for tensor in tensors:
            self._follow(tensor, 0)

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                self._follow(value, value.untyped_storage().nbytes())
        return result

    def _follow(self, tensor: Tensor, size: int) -> None:
        storage = tensor.untyped_storage()
        address = storage._cdata
        if address in self._seen:
            return
        self._seen.add(address)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._freed, address, size)

    def _freed(self, address: int, size: int) -> None:
        self._seen.discard(address)
        self.now -= size


def step_memory(model: nn.Module, batch: Sequence[Tensor], forward: Callable[[], Tensor]) -> StepMemory:
    """Measure one step: `forward` returns the loss, whose backward pass is then run.

    Args:
        model: its gradients are dropped before and after.
        batch: what `forward` reads, on the model's device; it was there before and is not counted.
        forward: runs the model and the loss.
    """
    model.zero_grad(set_to_none=True)
    device = next(model.parameters()).device
    measure = _cuda_step if device.type == "cuda" else _tracked_step
    memory = measure(model, batch, forward, device)
    model.zero_grad(set_to_none=True)
    return memory


def _gradient_bytes(model: nn.Module) -> int:
    return sum(p.grad.untyped_storage().nbytes() for p in model.parameters() if p.grad is not None)


def _cuda_step(
    model: nn.Module, batch: Sequence[Tensor], forward: Callable[[], Tensor], device: torch.device
) -> StepMemory:
    before = _requested(device, "current")
    torch.cuda.reset_peak_memory_stats(device)
    loss = forward()
    saved = _requested(device, "current") - before
    loss.backward()
    del loss
    peak = _requested(device, "peak") - before
    left = _requested(device, "current") - before - _gradient_bytes(model)
    return StepMemory(peak, saved, left)


def _requested(device: torch.device, which: str) -> int:
    """Return the bytes that were asked of the CUDA allocator, without what it rounds up."""
    return int(torch.cuda.memory_stats(device)[f"requested_bytes.all.{which}"])


def _tracked_step(
    model: nn.Module, batch: Sequence[Tensor], forward: Callable[[], Tensor], device: torch.device
) -> StepMemory:
    with LiveStorages() as live:
        live.ignore(*model.parameters(), *model.buffers(), *batch)
        loss = forward()
        saved = live.now
        loss.backward()
        del loss
        return StepMemory(live.peak, saved, live.now - _gradient_bytes(model))
