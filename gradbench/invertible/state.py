"""The words of the engine: a state is a tuple of channel groups, a memo is what a call must remember."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from torch import Tensor

__all__ = ["LayerError", "Memo", "State", "as_output", "as_state"]

#: Activations: contiguous groups of channels, each (N, C_g, H, W).
State: TypeAlias = tuple[Tensor, ...]
#: What one call of one module remembers: None, a constant, a small tensor, or a tuple of memos.
Memo: TypeAlias = Any


class LayerError(ValueError):
    """A layer was given what it cannot take, or a branch breaks its contract; the text begins with the layer's name."""

    def __init__(self, problem: str, layer: str = "") -> None:
        self.problem, self.layer = problem, layer
        super().__init__(f"layer {layer!r}: {problem}" if layer else problem)

    def inside(self, name: str) -> LayerError:
        """Return the same error as seen from one level further out."""
        return LayerError(self.problem, f"{name}.{self.layer}" if self.layer else name)


def as_state(output: Tensor | Iterable[Tensor]) -> State:
    """Return a module's output as a state."""
    return (output,) if isinstance(output, Tensor) else tuple(output)


def as_output(state: State) -> Tensor | State:
    """Return a state as a module's output: the tensor itself when there is one."""
    return state[0] if len(state) == 1 else state
