"""See what the backward pass rebuilds: every layer's rebuilt input and the output that it was rebuilt from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from torch import nn

from gradbench.invertible.state import State

__all__ = ["Watcher", "report", "watch_rebuilt", "watching"]

Watcher: TypeAlias = Callable[[nn.Module, State, State], None]

# One list for all threads: a GPU's backward pass runs in a thread of its own.
_watchers: list[Watcher] = []


@contextmanager
def watch_rebuilt(callback: Watcher) -> Iterator[None]:
    """Call `callback(module, x, y)` for every layer of every chain, couplings too, in backward passes in this context.

    `x` is the layer's rebuilt input and `y` the output that it was rebuilt from. Their memory is used again after the
    call: copy what is to be kept.
    """
    _watchers.append(callback)
    try:
        yield
    finally:
        _watchers.remove(callback)


def watching() -> bool:
    """Return whether anyone watches."""
    return bool(_watchers)


def report(module: nn.Module, x: State, y: State) -> None:
    """Tell the watchers."""
    for watcher in tuple(_watchers):
        watcher(module, x, y)
