"""The autograd node of a chain: what it keeps between the forward and the backward pass, and what it gives back.

It keeps the chain's output and the modules' memos. The tensors among them are saved as autograd saves tensors, so that
they are freed with the graph and a change in place is noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias

import torch
from torch import Tensor

from gradbench.invertible.gradients import Gradients, parameters_of
from gradbench.invertible.ownership import owned_gradient, owned_output
from gradbench.invertible.state import Memo, State, as_output

__all__ = ["ChainNode", "Disturbance"]

#: Called at a forward pass: returns what makes of the kept output the one that the backward pass starts from.
Disturbance: TypeAlias = Callable[[], Callable[[State], State]]

_TENSOR = object()


def _take_tensors(memo: Memo, tensors: list[Tensor]) -> Memo:
    """Return `memo` with its tensors moved to the end of `tensors`."""
    if isinstance(memo, Tensor):
        tensors.append(memo)
        return _TENSOR
    return tuple(_take_tensors(part, tensors) for part in memo) if isinstance(memo, tuple) else memo


def _put_tensors(memo: Memo, tensors: Iterator[Tensor]) -> Memo:
    """Undo `_take_tensors`."""
    if memo is _TENSOR:
        return next(tensors)
    return tuple(_put_tensors(part, tensors) for part in memo) if isinstance(memo, tuple) else memo


def _autocast(device: str, dtype: torch.dtype, enabled: bool) -> AbstractContextManager[Any]:
    """Return the autocast state of the forward pass.

    Its cache of cast weights is off: what it would keep was cast without a graph, and torch 2.9 would use it elsewhere,
    where the weight then got no gradient.
    """
    if not enabled and not torch.is_autocast_enabled(device):
        return nullcontext()
    return torch.autocast(device, dtype, enabled=enabled, cache_enabled=False)


class ChainNode(torch.autograd.Function):
    """The chain's node: inputs are the chain, what disturbs it, how many input tensors, those, its parameters."""

    @staticmethod
    def forward(ctx: Any, chain: Any, disturbed: Disturbance | None, count: int, *tensors: Tensor) -> Any:
        """Run the chain without a graph and keep its output and its memos."""
        x, parameters = tensors[:count], tensors[count:]
        device = x[0].device.type
        autocast = (device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device))
        with _autocast(*autocast):
            y, memo = chain.run(x)
        saved = list(y)
        ctx.memo = _take_tensors(memo, saved)
        ctx.save_for_backward(*saved)
        ctx.chain, ctx.count, ctx.outputs = chain, count, len(y)
        ctx.disturb = disturbed() if disturbed else None
        # With hooks for saved tensors, what comes back may be anybody's.
        ctx.saved_by_autograd = torch._C._autograd._top_saved_tensors_default_hooks(True) is None
        ctx.autocast, ctx.parameters = autocast, parameters
        ctx.versions = [(id(parameter), parameter._version) for parameter in parameters]
        return as_output(y)

    @staticmethod
    def backward(ctx: Any, *dy: Tensor) -> Any:
        """Walk back from the output, writing over it and over `dy` where nobody else will ever see them again."""
        if torch.is_grad_enabled():
            raise RuntimeError(
                "a chain cannot be differentiated twice: use storing(model) around the forward pass for create_graph"
            )
        if ctx.versions != [(id(parameter), parameter._version) for parameter in parameters_of(ctx.chain)]:
            raise RuntimeError("a parameter of the chain was changed or replaced between its forward and backward pass")
        saved = ctx.saved_tensors
        memo = _put_tensors(ctx.memo, iter(saved[ctx.outputs :]))
        wanted = ctx.needs_input_grad[3 + ctx.count :]
        gradients = Gradients(p for p, needed in zip(ctx.parameters, wanted, strict=True) if needed)
        y = saved[: ctx.outputs]
        if ctx.saved_by_autograd and not torch._C._autograd._get_current_graph_task_keep_graph():
            y = owned_output(y)
        if ctx.disturb:
            y = ctx.disturb(y)
        dy = owned_gradient(dy)
        with _autocast(*ctx.autocast):
            dx = ctx.chain.backward_step(y, dy, memo, gradients)[1]
        return None, None, None, *dx, *(gradients.get(parameter) for parameter in ctx.parameters)
