"""Each block keeps its input and runs again in the backward pass: exact, for about one more forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gradbench.invertible import Chain, storing
from gradbench.strategies.base import Strategy

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
        with storing(model), ExitStack() as restore:
            for block in blocks(model):
                plain = block.forward
                overridden = "forward" in vars(block)
                block.forward = partial(_checkpointed, block, plain)  # type: ignore[method-assign]
                restore.callback(_put_back, block, plain if overridden else None)
            yield


def blocks(model: nn.Module) -> list[nn.Module]:
    """Return the parts of the outermost chains and `nn.Sequential`s of `model`, those with parameters, in order."""
    if isinstance(model, Chain | nn.Sequential):
        return [part for part in model.children() if any(True for _ in part.parameters())]
    return [block for child in model.children() for block in blocks(child)]


def _checkpointed(block: nn.Module, forward: Any, *inputs: Tensor) -> Any:
    before = [
        (part, name, buffer.clone())
        for part in block.modules()
        for name, buffer in part._buffers.items()
        if buffer is not None
    ]
    return checkpoint(forward, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), _buffers(before)))


@contextmanager
def _buffers(values: list[tuple[nn.Module, str, Tensor]]) -> Iterator[None]:
    """Let modules have these buffers, which they may change; put their own back afterwards, untouched."""
    own = [(part, name, part._buffers[name]) for part, name, _ in values]
    for part, name, value in values:
        part._buffers[name] = value
    try:
        yield
    finally:
        for part, name, buffer in own:
            part._buffers[name] = buffer


def _put_back(block: nn.Module, forward: Any) -> None:
    if forward is None:
        del block.forward
    else:
        block.forward = forward  # type: ignore[method-assign]
