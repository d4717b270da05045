"""ckptplan: checkpointing of those blocks that cost least to run again, by a plan that it makes from measurements."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import torch
from torch import nn

from gradbench.invertible import storing
from gradbench.strategies.adapters.adapter import Adapter
from gradbench.strategies.forward import forward_replaced
from gradbench.strategies.recompute import sequences

__all__ = ["CkptPlan"]

#: Of the activations' memory, what a plan is to save: as in the package's own example.
SAVED = 0.5


class CkptPlan(Adapter):
    """The parts of each outermost chain and `nn.Sequential` as blocks, of which its plan checkpoints some.

    The plan is made in the first forward pass on inputs of a shape and dtype, from measurements on the spot, and kept.
    The package checkpoints no block with a batch norm of torch's in training mode.

    Source: https://pypi.org/project/ckptplan
    """

    package: ClassVar[str] = "ckptplan"
    installed_as: ClassVar[str] = "ckptplan"

    def __init__(self) -> None:
        self._planned: WeakKeyDictionary[nn.Module, dict[Any, Callable[..., Any]]] = WeakKeyDictionary()

    @property
    def name(self) -> str:
        return "ckptplan"

    def nothing_in(self, model: nn.Module) -> str | None:
        found, kind = sequences(model), type(model).__name__
        if not found:
            return f"{kind} has no chain or nn.Sequential whose parts ckptplan could choose from"
        if all(_moves_statistics(part) for sequence in found for part in sequence.children()):
            return f"{kind} has a batch norm in every part that ckptplan could choose, and it checkpoints none of those"
        if any(parameter.device.type != "cuda" for parameter in model.parameters()):
            return "ckptplan plans from activation memory, which it measures on a GPU alone"
        return None

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        with storing(model), ExitStack() as replaced:
            for sequence in sequences(model):
                replaced.enter_context(forward_replaced(sequence, self._planning(sequence)))
            yield

    def _planning(self, sequence: nn.Module) -> Callable[..., Any]:
        planned = self._planned.setdefault(sequence, {})

        def run(*inputs: Any) -> Any:
            like = tuple((x.shape, x.dtype, x.device) if isinstance(x, torch.Tensor) else type(x) for x in inputs)
            if like not in planned:
                planned[like] = _plan(sequence, inputs)
            return planned[like](*inputs)

        return run


def _plan(sequence: nn.Module, inputs: tuple[Any, ...]) -> Callable[..., Any]:
    import ckptplan

    blocks = ckptplan.declare_blocks(sequence, list(sequence.named_children()))
    examples = tuple(x.detach() if isinstance(x, torch.Tensor) else x for x in inputs)
    device = next(sequence.parameters()).device
    profiles = ckptplan.profile_blocks(blocks, examples, device=device, dtype=examples[0].dtype)
    plan = ckptplan.plan_checkpoints(
        profiles,
        blocks,
        target_kind="activation_saving_fraction",
        target_value=SAVED,
        on_infeasible="best_effort",
    )
    container: Callable[..., Any] = ckptplan.apply_plan(blocks, plan, examples)
    return container


def _moves_statistics(part: nn.Module) -> bool:
    return any(getattr(module, "track_running_stats", False) for module in part.modules())
