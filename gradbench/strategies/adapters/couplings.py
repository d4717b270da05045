"""Reversible libraries: their own couplings around the branches of a model's reversible blocks."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from gradbench.errors import UsageError
from gradbench.invertible import AdditiveCoupling, Chain, Invertible, State, storing
from gradbench.invertible.state import as_output
from gradbench.strategies.adapters.adapter import Adapter
from gradbench.strategies.forward import forward_replaced

__all__ = ["CouplingAdapter", "couplings"]


class CouplingAdapter(Adapter):
    """Blocks y1 = x1 + f(x2), y2 = x2 + g(y1) run by a library on the same f and g; the rest of the model is stored.

    Libraries take one tensor and split its channels in two. Blocks that follow each other are one sequence of theirs,
    so that the halves are put together once before it and split once behind it. The first block's module runs it, and
    those of the others hand on what they get.
    """

    def nothing_in(self, model: nn.Module) -> str | None:
        if couplings(model):
            return None
        return f"{type(model).__name__} has no additive coupling of ordinary branches, which {self.package} would run"

    @abstractmethod
    def sequence(self, branches: Sequence[tuple[nn.Module, nn.Module]]) -> Callable[[Tensor], Tensor]:
        """Return the library's sequence of couplings of these f and g; it splits axis 1."""

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        with storing(model), ExitStack() as replaced:
            for first, *others in couplings(model):
                blocks = self.sequence([(block.f, block.g) for block in (first, *others)])
                replaced.enter_context(forward_replaced(first, partial(_run, blocks)))
                for block in others:
                    replaced.enter_context(forward_replaced(block, _hand_on))
            yield


def couplings(model: nn.Module) -> list[list[AdditiveCoupling]]:
    """Return the couplings whose branches are ordinary modules, those that follow each other in a chain together.

    A coupling that the model uses twice is none of them.
    """
    used = Counter(id(child) for module in model.modules() for child in module._modules.values())
    return list(_runs(model, used))


def _runs(model: nn.Module, used: Counter[int]) -> Iterator[list[AdditiveCoupling]]:
    if _is_ordinary(model) and used[id(model)] <= 1:
        yield [model]
        return
    for single, run in itertools.groupby(model.children(), lambda child: _is_ordinary(child) and used[id(child)] == 1):
        if single and isinstance(model, Chain):
            yield list(run)
        else:
            for child in run:
                yield from _runs(child, used)


def _is_ordinary(module: nn.Module) -> bool:
    branches = (module.f, module.g) if isinstance(module, AdditiveCoupling) and module.kind == "coupling" else ()
    return bool(branches) and not any(isinstance(branch, Invertible) for branch in branches)


def _run(blocks: Callable[[Tensor], Tensor], *x: Tensor) -> State:
    if len(x) != 2 or x[0].shape != x[1].shape:
        shapes = " and ".join(str(tuple(group.shape)) for group in x)
        raise UsageError(f"a library's coupling takes two channel groups of one shape, got {shapes}")
    return blocks(torch.cat(x, 1)).chunk(2, 1)


def _hand_on(*x: Tensor) -> Tensor | State:
    return as_output(x)
