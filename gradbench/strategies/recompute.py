"""Run a part of a model again in the backward pass: what the checkpointing strategies share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

from gradbench.invertible import Chain

__all__ = ["blocks", "has_parameters", "plainly", "recomputed", "sequences"]

Contexts = tuple[AbstractContextManager[Any], AbstractContextManager[Any]]


def sequences(model: nn.Module) -> list[nn.Module]:
    """Return the outermost chains and `nn.Sequential`s of `model`."""
    if isinstance(model, Chain | nn.Sequential):
        return [model]
    return [sequence for child in model.children() for sequence in sequences(child)]


def blocks(model: nn.Module) -> list[nn.Module]:
    """Return the parts of the outermost chains and `nn.Sequential`s of `model`, those with parameters, in order."""
    return [part for sequence in sequences(model) for part in sequence.children() if has_parameters(part)]


def has_parameters(module: nn.Module) -> bool:
    """Return whether the module has any."""
    return any(True for _ in module.parameters())


def plainly() -> Contexts:
    """Surround neither the first run nor the repetition with anything."""
    return nullcontext(), nullcontext()


@torch.compiler.disable(reason="what is run again runs as it is")
def recomputed(
    modules: Iterable[nn.Module],
    forward: Callable[..., Any],
    contexts: Callable[[], Contexts],
    *inputs: Tensor,
) -> Any:
    """Return `forward(*inputs)`, which keeps its inputs and runs again in the backward pass.

    The repetition draws the same random numbers. It starts from the buffers that the modules had before the first run,
    and moves none.

    Args:
        modules: those that run inside, for their buffers.
        forward: what is run.
        contexts: returns what surrounds the first run and the repetition, anew for each first run.
        inputs: what is kept.

    Raises:
        RuntimeError: this is inside a transform of `torch.func`.
    """
    if torch._C._are_functorch_transforms_active():
        raise RuntimeError("a checkpointed block cannot be transformed by torch.func: use the strategy stored")

    def both() -> Contexts:
        first, again = contexts()
        return first, _Again(modules, again)

    # A repetition that stops at the last tensor to be saved would leave one unwritten that its function saves first and
    # writes afterwards, as that of RReLU does.
    with set_checkpoint_early_stop(False):
        return checkpoint(forward, *inputs, use_reentrant=False, context_fn=both)


class _Again:
    """A context in which modules have copies of the buffers that they have now; their own are back, untouched, after.

    It is entered once for every backward pass through the block.
    """

    def __init__(self, modules: Iterable[nn.Module], around: AbstractContextManager[Any]) -> None:
        self.around = around
        self.values = [
            (part, name, buffer.clone())
            for module in modules
            for part in module.modules()
            for name, buffer in part._buffers.items()
            if buffer is not None
        ]

    def __enter__(self) -> None:
        own = [(part, name, part._buffers[name]) for part, name, _ in self.values]
        for part, name, value in self.values:
            part._buffers[name] = value.clone()
        self.exits = ExitStack()
        self.exits.callback(_put, own)
        self.exits.enter_context(self.around)

    def __exit__(self, *exception: Any) -> None:
        self.exits.__exit__(*exception)


def _put(buffers: list[tuple[nn.Module, str, Tensor | None]]) -> None:
    for part, name, buffer in buffers:
        part._buffers[name] = buffer
