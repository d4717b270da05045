"""Ways to save memory with torch alone, as a training script would write them, faults and all."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch._dynamo.backends.registry import lookup_backend
from torch._functorch import config
from torch.utils.checkpoint import checkpoint

from gradbench.strategies.base import Strategy
from gradbench.strategies.forward import forward_replaced
from gradbench.strategies.recompute import blocks

__all__ = ["CompileBudget", "ReentrantCheckpoint", "TorchCheckpoint"]


class TorchCheckpoint(Strategy):
    """`torch.utils.checkpoint` around every block but the last: it restores the random state, and no buffers."""

    name = "torch-checkpoint"
    reentrant = False

    def applies_to(self, model: nn.Module) -> str | None:
        """It needs blocks."""
        return None if len(blocks(model)) > 1 else f"{type(model).__name__} has no blocks that could be checkpointed"

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        """Checkpoint the blocks."""
        with ExitStack() as replaced, warnings.catch_warnings():
            # Torch warns of what is measured here: that the inputs of a block need no gradient.
            warnings.filterwarnings("ignore", message="None of the inputs have requires_grad=True")
            for block in blocks(model)[:-1]:
                run = partial(checkpoint, block.forward, use_reentrant=self.reentrant)
                replaced.enter_context(forward_replaced(block, run))
            yield


class ReentrantCheckpoint(TorchCheckpoint):
    """The reentrant variant, whose blocks get no gradient unless one of their inputs needs one."""

    name = "torch-checkpoint-reentrant"
    reentrant = True


class CompileBudget(Strategy):
    """`torch.compile` whose partitioner may keep a share of the activations, and computes the others again.

    The backend makes graphs and runs them as they are, so that no compiler of C++ is needed.

    Args:
        percent: the share in percent.
    """

    def __init__(self, percent: int) -> None:
        self.percent = percent
        self._compiled: WeakKeyDictionary[nn.Module, Callable[..., Any]] = WeakKeyDictionary()

    @property
    def name(self) -> str:
        """The name in a case file."""
        return f"torch-compile-budget:{self.percent}"

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        """Run the compiled model, which is compiled once."""
        if model not in self._compiled:
            self._compiled[model] = torch.compile(model.forward, backend=self._backend)
        with forward_replaced(model, self._compiled[model]):
            yield

    def _backend(self, graph: Any, inputs: Any) -> Any:
        with config.patch(activation_memory_budget=self.percent / 100):
            return lookup_backend("aot_eager_decomp_partition")(graph, inputs)
