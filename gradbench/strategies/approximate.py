"""Exact forward pass; the activations of the backward pass are kept in K bits, the gates of the ReLUs exactly."""

from __future__ import annotations

from contextlib import AbstractContextManager

from torch import nn

from gradbench.strategies.base import Strategy
from gradbench.strategies.quantization import quantized_activations

__all__ = ["Approximate"]


class Approximate(Strategy):
    """Backprop with approximate activations: errors do not pass from layer to layer in the forward pass.

    The gradient that travels down is exact through convolutions and activations (it needs weights and signs only); the
    weight gradients, and the variance term of batch norm, use the K-bit copies.

    Source: Chakrabarti and Moseley, Backprop with approximate activations for memory-efficient network training.

    Args:
        bits: K, the bits of a kept activation.
    """

    def __init__(self, bits: int) -> None:
        self.bits = bits

    @property
    def name(self) -> str:
        return f"approximate:{self.bits}"

    def applied_to(self, model: nn.Module) -> AbstractContextManager[None]:
        return quantized_activations(model, self.bits, exact_forward=True)
