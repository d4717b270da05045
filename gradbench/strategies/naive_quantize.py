"""The same K-bit activations in both passes, the quantiser's own gradient taken as one (straight-through)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from torch import nn

from gradbench.strategies.base import Strategy
from gradbench.strategies.quantization import kept_exactly, nothing_to_quantize, quantized_activations

__all__ = ["NaiveQuantize"]


class NaiveQuantize(Strategy):
    """What the backward pass sees, the next convolution sees too: errors pass from layer to layer.

    Source: the baseline of Chakrabarti and Moseley, Backprop with approximate activations for memory-efficient network
    training.

    Args:
        bits: K, the bits of an activation.
    """

    def __init__(self, bits: int) -> None:
        self.bits = bits

    @property
    def name(self) -> str:
        return f"naive-quantize:{self.bits}"

    def finds_nothing(self, model: nn.Module, forward: Callable[[], object]) -> str | None:
        return nothing_to_quantize(model, forward)

    def notes(self, model: nn.Module) -> list[str]:
        return kept_exactly(model)

    def applied_to(self, model: nn.Module) -> AbstractContextManager[Any]:
        return quantized_activations(model, self.bits, exact_forward=False)
