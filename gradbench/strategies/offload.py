"""Saved tensors wait in host memory for the backward pass: exact, for two copies each over the bus."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial

import torch
from torch import Tensor, nn

from gradbench.strategies.base import Strategy
from gradbench.strategies.saved import Restore, saved_otherwise

__all__ = ["Offload"]


class Offload(Strategy):
    """Every saved tensor is copied to the host, pinned on CUDA, and back when the backward pass asks for it.

    Exact bit for bit. On the device stay parameters, buffers and the model's input. The copies are queued behind the
    computation, on its stream. On a CPU there is no other memory: the copy is made all the same and what was copied is
    freed, so that nothing is saved but the cost of copying can be seen.

    Source: Rhu et al., vDNN: virtualized deep neural networks for scalable, memory-efficient neural network design.
    """

    @property
    def name(self) -> str:
        return "offload"

    def notes(self, model: nn.Module) -> list[str]:
        if any(parameter.is_cuda for parameter in model.parameters()):
            return []
        return ["on a CPU the host's memory is the device's: tensors are copied, and no memory is saved"]

    def applied_to(self, model: nn.Module) -> AbstractContextManager[None]:
        return saved_otherwise(model, _keep)


def _keep(x: Tensor) -> Restore:
    host = torch.empty_like(x, device="cpu", pin_memory=x.is_cuda)
    host.copy_(x, non_blocking=x.is_cuda)
    return partial(host.to, x.device, non_blocking=x.is_cuda)
