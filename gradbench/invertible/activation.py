"""The leaky ReLU is its own kind's inverse: slope s for negative values forward, 1/s back."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from gradbench.invertible.gradients import Gradients
from gradbench.invertible.protocol import Invertible
from gradbench.invertible.state import Memo, State, as_output

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
        return tuple(F.leaky_relu(tensor, self.negative_slope) for tensor in x), None

    def rerun(self, x: State, memo: Memo) -> State:
        """Return the activated groups."""
        return tuple(F.leaky_relu(tensor, self.negative_slope) for tensor in x)

    def invert(self, y: State, memo: Memo) -> State:
        """Return the pre-activations in the memory of `y`."""
        return tuple(F.leaky_relu_(tensor, 1 / self.negative_slope) for tensor in y)

    def backward_step(self, y: State, dy: State, memo: Memo, gradients: Gradients) -> tuple[State, State]:
        """Return the pre-activations in the memory of `y`, and their gradient; the sign of y is that of x."""
        backward = torch.ops.aten.leaky_relu_backward
        dx = tuple(
            backward(gradient, tensor, self.negative_slope, True) for gradient, tensor in zip(dy, y, strict=True)
        )
        return self.invert(y, memo), dx
