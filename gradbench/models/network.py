"""What the layer-wise and the hybrid network share: an ordinary stem convolution, one chain, the head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from gradbench.invertible import (
    Chain,
    Invertible,
    InvertibleBatchNorm,
    InvertibleLeakyReLU,
    SplitChannels,
    SplitConvolution,
)
from gradbench.invertible.state import as_state
from gradbench.models.head import Head
from gradbench.models.stages import Pooling, make_pooling

__all__ = ["LayerFactory", "Network"]


class LayerFactory:
    """Makes invertible layers, split convolution, norm and leaky ReLU, on states of two groups.

    Args:
        negative_slope: of the leaky ReLU.
        eps_i: the norm's smallest scale.
        norm_inverse: how the norm is undone.
    """

    def __init__(
        self, negative_slope: float, eps_i: float, norm_inverse: Literal["affine", "renormalize"] = "affine"
    ) -> None:
        self.negative_slope, self.eps_i, self.norm_inverse = negative_slope, eps_i, norm_inverse

    def norm(self, channels: int) -> InvertibleBatchNorm:
        """Return a norm."""
        return InvertibleBatchNorm(channels, eps_i=self.eps_i, norm_inverse=self.norm_inverse)

    def activation(self) -> InvertibleLeakyReLU:
        """Return a leaky ReLU."""
        return InvertibleLeakyReLU(self.negative_slope)

    def stem(self, channels: int) -> Chain:
        """Return what follows the stem convolution: norm and leaky ReLU."""
        return Chain({"norm": self.norm(channels), "activation": self.activation()})

    def layers(self, channels: int, count: int = 1) -> Chain:
        """Return `count` times split convolution, norm and leaky ReLU; `channels` are those of both groups together."""
        named: dict[str, Invertible] = {}
        for index in range(count):
            number = str(index) if count > 1 else ""
            named[f"convolution{number}"] = SplitConvolution(channels)
            named[f"norm{number}"] = self.norm(channels)
            named[f"activation{number}"] = self.activation()
        return Chain(named)


class Network(nn.Module):
    """Images (N, 3, H, W) to scores (N, classes).

    The chain's parts are named `stem`, `block0`, `block1`, ... and `pooling0`, ...

    Args:
        width: channels of the first stage, a multiple of 4.
        depths: blocks in each stage; between two stages stands one pooling.
        pooling: one shorter than `depths`.
        groups: channel groups of the state.
        layers: makes the stem's layers.
        block: makes a block from the number of channels of its stage.
        classes: number of scores.
    """

    def __init__(
        self,
        width: int,
        depths: Sequence[int],
        pooling: Sequence[Pooling],
        groups: int,
        layers: LayerFactory,
        block: Callable[[int], Invertible],
        classes: int,
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.split = SplitChannels(groups)
        named: dict[str, Invertible] = {"stem": layers.stem(width)}
        channels, blocks = width, 0
        for stage, depth in enumerate(depths):
            if stage:
                kind = pooling[stage - 1]
                named[f"pooling{stage - 1}"] = make_pooling(kind)
                channels *= 4 if kind == "channel" else 1
            for _ in range(depth):
                named[f"block{blocks}"] = block(channels)
                blocks += 1
        self.chain = Chain(named)
        self.head = Head(channels, classes, copies=4 ** list(pooling).count("batch"))

    def forward(self, x: torch.Tensor) -> Tensor:
        """Return the scores."""
        return self.head(*as_state(self.chain(*as_state(self.split(self.stem(x))))))
