"""The layers that all networks are made of: convolution, batch norm, leaky ReLU, in this order."""

from __future__ import annotations

import torch
from torch import nn

from gradbench.case.schema import Model
from gradbench.invertible import (
    Chain,
    Invertible,
    InvertibleBatchNorm,
    InvertibleLeakyReLU,
    InvertibleSmoothLeakyReLU,
    SplitConvolution,
)

__all__ = ["LayerFactory", "convolution"]


def convolution(inputs: int, outputs: int) -> nn.Conv2d:
    """Return a 3x3 convolution without bias that keeps the size."""
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)


class LayerFactory:
    """Makes layers with a case's slope and settings of the norm. All networks have the same norm and activation."""

    def __init__(self, settings: Model) -> None:
        self.settings = settings

    def norm(self, channels: int) -> InvertibleBatchNorm:
        """Return a norm, its scale and shift as `norm_init` and `norm_spread` say."""
        norm = InvertibleBatchNorm(channels, eps_i=self.settings.eps_i, norm_inverse=self.settings.norm_inverse)
        with torch.no_grad():
            if self.settings.norm_init == "random":
                norm.weight.uniform_()
                norm.bias.normal_()
            norm.weight[: channels // 5] /= self.settings.norm_spread
        return norm

    def activation(self) -> InvertibleLeakyReLU | InvertibleSmoothLeakyReLU:
        """Return the activation: a leaky ReLU, or the one without a kink."""
        kind = InvertibleSmoothLeakyReLU if self.settings.activation == "smooth" else InvertibleLeakyReLU
        return kind(self.settings.negative_slope)

    def normalised(self, channels: int) -> Chain:
        """Return what follows a convolution that is no block's: norm and leaky ReLU."""
        return Chain({"norm": self.norm(channels), "activation": self.activation()})

    def invertible(self, channels: int, count: int = 1) -> Chain:
        """Return `count` times split convolution, norm and leaky ReLU, on two groups of `channels` together."""
        named: dict[str, Invertible] = {}
        for number in _numbers(count):
            named[f"convolution{number}"] = SplitConvolution(channels)
            named[f"norm{number}"] = self.norm(channels)
            named[f"activation{number}"] = self.activation()
        return Chain(named)

    def ordinary(self, inputs: int, outputs: int, count: int = 1) -> nn.Sequential:
        """Return `count` times convolution, norm and leaky ReLU, which autograd differentiates."""
        layers = nn.Sequential()
        for number in _numbers(count):
            layers.add_module(f"convolution{number}", convolution(outputs if layers else inputs, outputs))
            layers.add_module(f"norm{number}", self.norm(outputs))
            layers.add_module(f"activation{number}", self.activation())
        return layers


def _numbers(count: int) -> list[str]:
    return [""] if count == 1 else [str(index) for index in range(count)]
