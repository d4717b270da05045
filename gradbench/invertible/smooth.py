"""A leaky ReLU without a kink, whose inverse is a formula: no gate can flip, so that only rounding is left.

With a = (1 + s) / 2 and b = (1 - s) / 2 the leaky ReLU of slope s is a x + b |x|. Here |x| becomes a branch of
a hyperbola over a width w,

    y = a x + b (r - w),  r = sqrt(x^2 + w^2),  with slope a + b x / r, between s and 1 everywhere.

Since a^2 - b^2 = s, the equation (z - a x)^2 = b^2 (x^2 + w^2), z = y + b w, is quadratic in x, and the root wanted is

    x = (a z - b q) / s,  q = sqrt(z^2 + s w^2).

Both are computed as sums of numbers of one sign, so that the result is right to a few roundings of itself: y is
a x + b x^2 / (r + w) for x >= 0, where r - w would cancel, and x (s + b w (1 - x / (r + w)) / (r - x)) below; x is
y (y + 2 b w) / (a z + b q) for z > 0, where a z - b q would cancel, and the root as it stands elsewhere.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from gradbench.invertible.gradients import Gradients
from gradbench.invertible.protocol import Invertible
from gradbench.invertible.state import Memo, Owned, State, as_output, each_kept_in

__all__ = ["InvertibleSmoothLeakyReLU"]


def _forward(x: Tensor, slope: float, width: float) -> Tensor:
    a, b = (1 + slope) / 2, (1 - slope) / 2
    r = torch.hypot(x, torch.full_like(x, width))
    above = a * x + b * x.square() / (r + width)
    below = x * (slope + b * width * (1 - x / (r + width)) / (r - x))
    return torch.where(x >= 0, above, below)


def _inverse(y: Tensor, slope: float, width: float) -> Tensor:
    a, b = (1 + slope) / 2, (1 - slope) / 2
    z = y + b * width
    q = torch.hypot(z, torch.full_like(z, slope**0.5 * width))
    return torch.where(z > 0, y * (y + 2 * b * width) / (a * z + b * q), (a * z - b * q) / slope)


def _gradient(x: Tensor, dy: Tensor, slope: float, width: float) -> Tensor:
    a, b = (1 + slope) / 2, (1 - slope) / 2
    return dy * (a + b * x / torch.hypot(x, torch.full_like(x, width)))


class _Function(torch.autograd.Function):
    """Keeps its input alone, where plain autograd would keep every step."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float, width: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.shape = slope, width
        return _forward(x, slope, width)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        return _gradient(x, dy, *ctx.shape), None, None


class InvertibleSmoothLeakyReLU(Invertible):
    """y = a x + b (sqrt(x^2 + width^2) - width), a and b = (1 + slope) / 2 and (1 - slope) / 2; 0 stays 0.

    Args:
        negative_slope: the slope far below zero; far above it is 1.
        width: over which the slope changes, in units of x.

    Raises:
        ValueError: the slope or the width is not positive.
    """

    kind: ClassVar[str] = "activation"

    def __init__(self, negative_slope: float, width: float = 1.0) -> None:
        super().__init__()
        for name, value in (("negative_slope", negative_slope), ("width", width)):
            if not value > 0:
                raise ValueError(f"{name} {value} is not allowed: it must be positive to be invertible and smooth")
        self.negative_slope, self.width = negative_slope, width

    def extra_repr(self) -> str:
        """Show slope and width."""
        return f"negative_slope={self.negative_slope}, width={self.width}"

    def slope(self, x: Tensor) -> Tensor:
        """Return the derivative of the activation at each entry of `x`."""
        return _gradient(x, torch.ones_like(x), self.negative_slope, self.width)

    def forward(self, *x: Tensor) -> Tensor | State:
        """Return the activated groups."""
        return as_output(tuple(_Function.apply(tensor, self.negative_slope, self.width) for tensor in x))

    def inverse(self, *y: Tensor) -> Tensor | State:
        """Return the pre-activations."""
        return as_output(self.invert(y, None))

    def run(self, x: State) -> tuple[State, Memo]:
        """Return the activated groups; there is nothing to remember."""
        return self.rerun(x, None), None

    def rerun(self, x: State, memo: Memo) -> State:
        """Return the activated groups."""
        return Owned(_forward(tensor, self.negative_slope, self.width) for tensor in x)

    def invert(self, y: State, memo: Memo) -> State:
        """Return the pre-activations."""
        return each_kept_in(y, (_inverse(tensor, self.negative_slope, self.width) for tensor in y))

    def backward_step(self, y: State, dy: State, memo: Memo, gradients: Gradients) -> tuple[State, State]:
        """Return the pre-activations and their gradient."""
        x = self.invert(y, memo)
        pairs = zip(x, dy, strict=True)
        return x, each_kept_in(dy, (_gradient(t, gradient, self.negative_slope, self.width) for t, gradient in pairs))
