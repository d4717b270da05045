"""torch.compile decides what to keep and what to compute again, within a budget of activation memory."""

from __future__ import annotations

import shutil
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch._functorch.config
from torch import nn
from torch.utils._triton import has_triton

from gradbench.invertible import storing
from gradbench.strategies.base import Strategy
from gradbench.strategies.forward import forward_replaced

__all__ = ["Compile"]


class Compile(Strategy):
    """The model's forward pass compiled, its backward pass planned by torch's min-cut partitioner.

    At budget 1 it keeps what it holds for fastest; at 0 it keeps the inputs of each graph alone, and computes all else
    again. Gradients are those of another order of rounding: kernels are fused, and sums are taken in another order, so
    that nothing is exact bit for bit, running statistics included. Random numbers are torch's own for compiled code:
    masks of dropout are not those of stored training. The first pass compiles, which takes long.

    Source: torch._functorch.config.activation_memory_budget; He and Yu, Transcending runtime-memory tradeoffs in
    checkpointing by being fusion aware (the partitioner).

    Args:
        budget: the share of what torch.compile keeps by itself, between 0 and 1.
        backend: of torch.compile; only inductor generates code.
    """

    compiles = True

    def __init__(self, budget: float, backend: str = "inductor") -> None:
        self.budget, self.backend = budget, backend
        #: The forward pass that was compiled last, and what came of it: torch 2.9 would compile it anew every time.
        self._last: tuple[Any, Any] = (None, None)

    @property
    def name(self) -> str:
        return f"compile:{self.budget:g}"

    def applies_to(self, model: nn.Module) -> str | None:
        if not torch._dynamo.is_dynamo_supported():
            return "torch.compile does not support this version of Python"
        on_gpu = any(parameter.is_cuda for parameter in model.parameters())
        if on_gpu and not has_triton():
            return "torch.compile needs Triton on a GPU, which is not installed"
        if on_gpu and _compiler("gcc", "cc", "clang") is None:
            return "torch.compile needs a C compiler, such as gcc, and there is none"
        if not on_gpu and _compiler("g++", "clang++") is None:
            return "torch.compile needs a C++ compiler, such as g++, and there is none"
        if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
            return "torch.compile needs Python.h, the headers of Python's development package, and there are none"
        return None

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        if self._last[0] != model.forward:
            self._last = model.forward, torch.compile(model.forward, backend=self._within_budget)
        with storing(model), forward_replaced(model, self._last[1]):
            yield

    def _within_budget(self, graph: Any, inputs: Any) -> Any:
        """Compile one graph: what torch.compile calls as its backend, another for each strategy object."""
        with torch._functorch.config.patch(activation_memory_budget=self.budget):
            return torch._dynamo.lookup_backend(self.backend)(graph, inputs)


def _compiler(*names: str) -> str | None:
    return next((found for name in names if (found := shutil.which(name))), None)
