"""Checkpoint wrappers: what others put around a block so that it runs again in the backward pass."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

from gradbench.invertible import storing
from gradbench.strategies.adapters.adapter import Adapter
from gradbench.strategies.forward import forward_replaced
from gradbench.strategies.recompute import blocks

__all__ = ["BlockAdapter"]


class BlockAdapter(Adapter):
    """Every block that `checkpoint` would checkpoint, in the package's own wrapper instead.

    Args:
        whole: wrap the model it is applied to as one block.
    """

    def __init__(self, whole: bool = False) -> None:
        self.whole = whole

    def on_parts(self) -> BlockAdapter:
        """Return the strategy that wraps any module as one block."""
        return type(self)(whole=True)

    def nothing_in(self, model: nn.Module) -> str | None:
        if self.whole or blocks(model):
            return None
        return f"{type(model).__name__} has no chain or nn.Sequential whose parts {self.package} could wrap"

    @abstractmethod
    def wrapped(self, block: nn.Module) -> Callable[..., Any]:
        """Return what runs `block.forward`, as it is now, in the package's wrapper."""

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        with storing(model), ExitStack() as wrapped:
            for block in [model] if self.whole else blocks(model):
                wrapped.enter_context(_hooks_kept(block))
                wrapped.enter_context(forward_replaced(block, self.wrapped(block)))
            yield


@contextmanager
def _hooks_kept(block: nn.Module) -> Iterator[None]:
    """Take back the hooks that a wrapper leaves in the block."""
    kinds = ("_forward_hooks", "_forward_pre_hooks")
    before = [(hooks, dict(hooks)) for part in block.modules() for kind in kinds for hooks in [getattr(part, kind)]]
    try:
        yield
    finally:
        for hooks, kept in before:
            for added in set(hooks) - set(kept):
                del hooks[added]
