"""The leaky ReLU is its own kind's inverse: slope s for negative values forward, 1/s back."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from gradbench.invertible.gradients import Gradients
from gradbench.invertible.protocol import Invertible
from gradbench.invertible.state import Memo, Owned, State, as_output, out_of

__all__ = ["InvertibleLeakyReLU"]


class InvertibleLeakyReLU(Invertible):
    """y = x where x > 0, else `negative_slope` * x; the inverse divides. Hascoet et al., equation 28, with n = 1/slope.

    Raises:
        ValueError: the slope is not positive, so that there is no inverse.
    """

    kind: ClassVar[str] = "activation"

    def __init__(self, negative_slope: float) -> None:
        super().__init__()
        if not negative_slope > 0:
            raise ValueError(f"negative_slope {negative_slope} is not allowed: it must be positive to be invertible")
        self.negative_slope = negative_slope

    def extra_repr(self) -> str:
        """Show the slope."""
        return f"negative_slope={self.negative_slope}"

    def forward(self, *x: Tensor) -> Tensor | State:
        """Return the activated groups."""
        return as_output(tuple(F.leaky_relu(tensor, self.negative_slope) for tensor in x))

    def inverse(self, *y: Tensor) -> Tensor | State:
        """Return the pre-activations."""
        return as_output(tuple(F.leaky_relu(tensor, 1 / self.negative_slope) for tensor in y))

    def run(self, x: State) -> tuple[State, Memo]:
        """Return the activated groups; there is nothing to remember."""
        return self.rerun(x, None), None

    def rerun(self, x: State, memo: Memo) -> State:
        """Return the activated groups."""
        return _leaky(x, self.negative_slope)

    def invert(self, y: State, memo: Memo) -> State:
        """Return the pre-activations."""
        return _leaky(y, 1 / self.negative_slope)

    def backward_step(self, y: State, dy: State, memo: Memo, gradients: Gradients) -> tuple[State, State]:
        """Return the pre-activations and their gradient; the sign of y is that of x."""
        backward = torch.ops.aten.leaky_relu_backward
        dx = out_of(dy)
        for gradient, tensor, out in zip(dy, y, dx, strict=True):
            backward.grad_input(gradient, tensor, self.negative_slope, True, grad_input=out)
        return self.invert(y, memo), dx


def _leaky(x: State, slope: float) -> State:
    if isinstance(x, Owned):
        return Owned(F.leaky_relu_(tensor, slope) for tensor in x)
    return Owned(F.leaky_relu(tensor, slope) for tensor in x)
