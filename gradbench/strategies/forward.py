"""Let a module run in another way for a while, without touching its hooks, its name or its parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

__all__ = ["forward_replaced", "saved_inside"]


@contextmanager
def forward_replaced(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Let `module` run `forward` in this context."""
    own = vars(module).get("forward")
    module.forward = forward  # type: ignore[method-assign]
    try:
        yield
    finally:
        if own is None:
            del module.forward
        else:
            module.forward = own  # type: ignore[method-assign]


@contextmanager
def saved_inside(module: nn.Module, pack: Callable[[Tensor], Any], unpack: Callable[[Any], Tensor]) -> Iterator[None]:
    """Let autograd keep `pack(x)` for every tensor x that it saves inside the forward pass of `module`."""
    forward = module.forward

    def run(*inputs: Any, **named: Any) -> Any:
        with saved_tensors_hooks(pack, unpack):
            return forward(*inputs, **named)

    with forward_replaced(module, run):
        yield
