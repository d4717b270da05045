"""Exact forward pass; the activations of the backward pass are kept in K bits, the gates of the ReLUs exactly."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from torch import nn

from gradbench.strategies.base import Strategy
from gradbench.strategies.quantization import kept_exactly, nothing_to_quantize, quantized_activations

__all__ = ["Approximate"]


class Approximate(Strategy):
    """Backprop with approximate activations: errors do not pass from layer to layer in the forward pass.

    The gradient that travels down is exact through convolutions and (leaky) ReLUs (it needs weights and signs only);
    weight gradients and the variance term of batch norm use the K-bit copies. Any other activation, normalisation or
    attention keeps what it needs as it is, and so do a classifier's input and the model's. Unlike the authors'
    quantiser this one keeps every sign also where a channel's mean is beyond three standard deviations, and where gamma
    is negative.

    Source: Chakrabarti and Moseley, Backprop with approximate activations for memory-efficient network training.

    Args:
        bits: K, the bits of a kept activation.
    """

    def __init__(self, bits: int) -> None:
        self.bits = bits

    @property
    def name(self) -> str:
        return f"approximate:{self.bits}"

    def finds_nothing(self, model: nn.Module, forward: Callable[[], object]) -> str | None:
        return nothing_to_quantize(model, forward)

    def notes(self, model: nn.Module) -> list[str]:
        return kept_exactly(model)

    def applied_to(self, model: nn.Module) -> AbstractContextManager[Any]:
        return quantized_activations(model, self.bits, exact_forward=True)
