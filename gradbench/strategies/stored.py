"""Ordinary autograd: every activation that the backward pass needs is kept. The reference for all others."""

from __future__ import annotations

from contextlib import AbstractContextManager

from torch import nn

from gradbench.invertible import storing
from gradbench.strategies.base import Strategy

__all__ = ["Stored"]


class Stored(Strategy):
    """Plain autograd, also for the invertible chains of a model."""

    @property
    def name(self) -> str:
        return "stored"

    def applied_to(self, model: nn.Module) -> AbstractContextManager[None]:
        return storing(model)
