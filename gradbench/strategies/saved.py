"""Let autograd keep something else than the tensors that it saves: what strategies on saved tensors share."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._pytree import tree_leaves

from gradbench.invertible import storing
from gradbench.strategies.forward import forward_replaced, saved_inside

__all__ = ["Restore", "saved_otherwise"]

#: Makes the tensor that the backward pass sees, every time that it asks.
Restore = Callable[[], Tensor]


class _Kept:
    """What autograd holds in the place of a tensor."""

    def __init__(self, restore: Restore) -> None:
        self.restore = restore


@contextmanager
def saved_otherwise(model: nn.Module, keep: Callable[[Tensor], Restore | None]) -> Iterator[None]:
    """Let autograd hold `keep(x)` for every tensor x that it saves inside the forward pass of `model`.

    What is there anyway stays as it is: parameters, also as autocast copies them, buffers, and what the model is given
    as long as autograd did not make it. So does what `RReLU` saves, whose slopes are saved first and drawn afterwards.
    A tensor that several operations save is kept once. Chains store.

    Args:
        model: the module, or the part of one.
        keep: returns how to make x, or None to leave x as it is; it must not hold x.

    Raises:
        RuntimeError: at a forward pass: the model is inside a transform of `torch.func`.
    """
    weights = list(model.parameters())
    resident = {_address(tensor) for tensor in (*weights, *model.buffers())}
    known: WeakValueDictionary[Hashable, _Kept] = WeakValueDictionary()

    @torch.compiler.disable(reason="what autograd saves is kept otherwise")
    def run(*inputs: Any, **named: Any) -> Any:
        if torch._C._are_functorch_transforms_active():
            raise RuntimeError("saved tensors cannot be transformed by torch.func: use the strategy stored")
        given = {_address(x) for x in tree_leaves((inputs, named)) if isinstance(x, Tensor) and x.is_leaf}

        def pack(x: Tensor) -> Any:
            if _address(x) in resident or _address(x) in given or not x.numel() or _is_cast(x, weights):
                return x
            key = (_address(x), x.storage_offset(), x.shape, x.stride(), x._version)
            kept = known.get(key)
            if kept is None:
                restore = keep(x.detach())
                if restore is None:
                    return x
                kept = known[key] = _Kept(restore)
                # The entry goes with the tensor's memory, before its address can be used again.
                weakref.finalize(x.untyped_storage(), known.pop, key, None).atexit = False
            return kept

        with saved_tensors_hooks(pack, _unpack):
            return forward(*inputs, **named)

    with storing(model), ExitStack() as replaced:
        for module in model.modules():
            if isinstance(module, nn.RReLU):
                replaced.enter_context(saved_inside(module, _as_it_is, _as_it_is))
        forward = model.forward
        with forward_replaced(model, run):
            yield


def _as_it_is(x: Tensor) -> Tensor:
    return x


def _unpack(kept: Any) -> Tensor:
    return kept.restore() if isinstance(kept, _Kept) else kept


def _address(x: Tensor) -> int:
    return x.untyped_storage()._cdata


def _is_cast(x: Tensor, weights: list[nn.Parameter]) -> bool:
    """Return whether x is the copy of a weight in another dtype, or its transpose, as autocast makes it."""
    return any(
        weight.dtype != x.dtype and like.shape == x.shape and torch.equal(like.detach().to(x.dtype), x)
        for weight in weights
        for like in ((weight, weight.mT) if weight.dim() == 2 else (weight,))
    )
