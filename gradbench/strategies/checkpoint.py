"""Each block keeps its input and runs again in the backward pass: exact, for about one more forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gradbench.invertible import Chain, storing
from gradbench.strategies.base import Strategy
from gradbench.strategies.forward import forward_replaced

__all__ = ["Checkpoint", "blocks"]


class Checkpoint(Strategy):
    """Gradient checkpointing of every block of the model's outermost chains and sequences.

    The recomputation starts from the buffers that the block had before its first run, and moves none: plain
    checkpointing would move the running statistics of batch norm twice.

    Source: Chen et al., Training deep nets with sublinear memory cost.
    """

    @property
    def name(self) -> str:
        return "checkpoint"

    def applies_to(self, model: nn.Module) -> str | None:
        if blocks(model):
            return None
        return f"{type(model).__name__} has no chain or nn.Sequential whose parts could be checkpointed"

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        with storing(model), ExitStack() as replaced:
            for block in blocks(model):
                replaced.enter_context(forward_replaced(block, partial(_checkpointed, block, block.forward)))
            yield

    def on_parts(self) -> Strategy:
        """Return the strategy that checkpoints any module as one block."""
        return _OneBlock()


class _OneBlock(Checkpoint):
    """Checkpointing of a module as a whole."""

    def applies_to(self, model: nn.Module) -> None:
        return None

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        with storing(model), forward_replaced(model, partial(_checkpointed, model, model.forward)):
            yield


def blocks(model: nn.Module) -> list[nn.Module]:
    """Return the parts of the outermost chains and `nn.Sequential`s of `model`, those with parameters, in order."""
    if isinstance(model, Chain | nn.Sequential):
        return [part for part in model.children() if any(True for _ in part.parameters())]
    return [block for child in model.children() for block in blocks(child)]


@torch.compiler.disable(reason="a checkpointed block runs as it is")
def _checkpointed(block: nn.Module, forward: Any, *inputs: Tensor) -> Any:
    if torch._C._are_functorch_transforms_active():
        raise RuntimeError("a checkpointed block cannot be transformed by torch.func: use the strategy stored")
    return checkpoint(forward, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), _BuffersOfNow(block)))


class _BuffersOfNow:
    """A context in which a module has copies of the buffers that it has now; its own are back, untouched, behind it.

    It is entered once for every backward pass through the block.
    """

    def __init__(self, module: nn.Module) -> None:
        self.values = [
            (part, name, buffer.clone())
            for part in module.modules()
            for name, buffer in part._buffers.items()
            if buffer is not None
        ]

    def __enter__(self) -> None:
        self.own = [part._buffers[name] for part, name, _ in self.values]
        for part, name, value in self.values:
            part._buffers[name] = value.clone()

    def __exit__(self, *_: object) -> None:
        for (part, name, _), buffer in zip(self.values, self.own, strict=True):
            part._buffers[name] = buffer
