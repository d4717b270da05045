"""The RevNet block of Gomez et al.: an additive coupling whose branches are ordinary residual functions."""

from __future__ import annotations

from torch import nn

from gradbench.invertible import AdditiveCoupling, Chain

__all__ = ["residual_function", "revnet_block", "revnet_chain"]


def residual_function(channels: int, dropout: float = 0.0) -> nn.Sequential:
    """Return BN-ReLU-conv3-BN-ReLU-conv3, as in pre-activation residual units, with dropout between the two."""
    middle = [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        *middle,
        nn.Conv2d(channels, channels, 3, padding=1, bias=False),
    )


def revnet_block(channels: int, dropout: float = 0.0) -> AdditiveCoupling:
    """Return a block on two groups, `channels` in all."""
    return AdditiveCoupling(residual_function(channels // 2, dropout), residual_function(channels // 2, dropout))


def revnet_chain(channels: int, blocks: int, dropout: float = 0.0) -> Chain:
    """Return a chain of `blocks` blocks at the same size."""
    return Chain(*(revnet_block(channels, dropout) for _ in range(blocks)))
