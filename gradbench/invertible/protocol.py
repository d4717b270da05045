"""What an invertible module is: it can rebuild its input from its output, and with that form its gradients.

The engine moves activations as a `State`, a tuple of contiguous channel groups. A module is asked for four steps, all
with gradients off; `Invertible` has a default for each, built from `forward` and `inverse` alone. A step may write over
a state that it is given as `Owned`, and over no other; it returns as `Owned` what it has made itself.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from gradbench.invertible.gradients import Gradients, pull_back
from gradbench.invertible.replay import record, replayed, run_again
from gradbench.invertible.state import Memo, State, as_state, kept_in

__all__ = ["Invertible", "steps_of"]


class _DefaultSteps:
    """The engine's four steps for any module that has `forward` and `inverse`."""

    module: nn.Module

    def run(self, x: State) -> tuple[State, Memo]:
        """Return the output and what a recomputation must know: random state and buffers, never activations."""
        return record(self.module, x)

    def rerun(self, x: State, memo: Memo) -> State:
        """Return the same output again; no buffer and no random state moves."""
        if memo is None:
            return run_again(self.module, x)
        with replayed(self.module, x, memo):
            return as_state(self.module(*x))

    def invert(self, y: State, memo: Memo) -> State:
        """Return the input that gave `y`."""
        with replayed(self.module, y, memo):
            inverse: Any = self.module.inverse
            return kept_in(y, as_state(inverse(*y)))

    def backward_step(self, y: State, dy: State, memo: Memo, gradients: Gradients) -> tuple[State, State]:
        """Return the input that gave `y` and its gradient, and add the parameters' gradients to `gradients`.

        A gradient that is added shares no memory with `dy`.
        """
        x = self.invert(y, memo)
        return x, kept_in(dy, pull_back(self.module, tuple(x), dy, memo, gradients))


class Invertible(_DefaultSteps, nn.Module):
    """A module that can rebuild its input from its output.

    A subclass writes `forward(*x)`, plain autograd from k tensors to one tensor or a tuple of them, and `inverse(*y)`.
    It may override the four steps where that saves memory or time.

    Attributes:
        kind: what the layer is: norm, activation, convolution, coupling, pooling or user.
    """

    kind: ClassVar[str] = "user"

    @property
    def module(self) -> nn.Module:
        """The module whose steps these are: itself."""
        return self

    def inverse(self, *y: Tensor) -> Tensor | State:
        """Return the input that `forward` turned into `y`."""
        raise NotImplementedError(f"{type(self).__name__} has no inverse")


class _Adapted(_DefaultSteps):
    """The four steps of an ordinary module that has `forward` and `inverse`."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module


def steps_of(module: nn.Module) -> Any:
    """Return what has the four steps of `module`: the module itself, or an adapter of its forward and inverse."""
    return module if isinstance(module, Invertible) else _Adapted(module)
