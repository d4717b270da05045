"""What a strategy is: a context in which a model's backward pass gets its activations in another way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import nn

__all__ = ["Strategy", "own_seed"]


class Strategy(ABC):
    """A way to provide the activations of the backward pass.

    Use it around forward and backward alike::

        with strategy.applied_to(model):
            loss = criterion(model(x), y)
            loss.backward()

    Attributes:
        rebuilds: whether activations are rebuilt, so that each has a signal-to-noise ratio.
        random: whether it draws random numbers of its own, such as those of a stochastic rounding, so that its gradient
            is another at every draw. They follow from torch's seed, and the model's own random numbers do not move.
        compiles: whether it runs what `torch.compile` makes, whose memory can be measured on a GPU alone.
        foreign: whether it runs the code of others, of which one step is tried before anything is measured.
        chunks: in how many parts a step takes the minibatch, with a forward and a backward pass for each. The context
            does not divide it: whoever makes the step does.
    """

    rebuilds: bool = False
    random: bool = False
    compiles: bool = False
    foreign: bool = False
    chunks: int = 1

    @property
    @abstractmethod
    def name(self) -> str:
        """The name that case files use, its argument included: `approximate:4`."""

    def applies_to(self, model: nn.Module) -> str | None:
        """Return None, or in one sentence why this strategy cannot be applied to `model`."""
        return None

    def finds_nothing(self, model: nn.Module, forward: Callable[[], object]) -> str | None:
        """Return None, or in one sentence why it would change nothing of `model`, where only a forward pass tells.

        It is asked of whole models that it applies to; on parts in which it finds nothing a strategy does nothing.

        Args:
            model: in training mode.
            forward: runs the model once, on any minibatch.
        """
        return None

    def notes(self, model: nn.Module) -> list[str]:
        """Return what a reader of its numbers must know, a sentence each: what of `model` it leaves as it is."""
        return []

    @abstractmethod
    def applied_to(self, model: nn.Module) -> AbstractContextManager[None]:
        """Return the context around one or more forward and backward passes of `model`.

        `model` may be a part of a larger one: what runs inside its `forward` is affected, and nothing else, so that
        several strategies, or one on several parts, may be nested. Leaving it restores the model, after an exception
        too.
        """

    def on_parts(self) -> Strategy:
        """Return the strategy to apply to single parts of a model, where only those are to be treated as this does.

        It is this strategy, unless it works on units of its own: then each part is to be one of them.
        """
        return self


def own_seed(*numbers: int) -> int:
    """Return the seed of a generator of a strategy's own, which follows from torch's seed and `numbers`."""
    seeds = np.random.SeedSequence((torch.initial_seed(), *numbers))
    return int(seeds.generate_state(1, np.uint64)[0] >> 1)
