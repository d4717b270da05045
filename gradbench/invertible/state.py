"""The words of the engine: a state is a tuple of channel groups, a memo is what a call must remember."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import torch
from torch import Tensor

__all__ = [
    "LayerError",
    "Memo",
    "Owned",
    "State",
    "added",
    "as_output",
    "as_state",
    "each_kept_in",
    "is_dense",
    "kept_in",
    "out_of",
]

#: Activations: contiguous groups of channels, each (N, C_g, H, W).
State: TypeAlias = tuple[Tensor, ...]
#: What one call of one module remembers: None, a constant, a small tensor, or a tuple of memos.
Memo: TypeAlias = Any


class Owned(tuple[Tensor, ...]):
    """A state in memory that nobody else will read: the step that it is handed to may write there, and no other may.

    What a step made itself is owned; so is a chain's output in a backward pass where the graph alone still holds it.
    A slice of it, as any tuple that is put together anew, is not.
    """

    __slots__ = ()


class LayerError(ValueError):
    """A layer was given what it cannot take, or a branch breaks its contract; the text begins with the layer's name."""

    def __init__(self, problem: str, layer: str = "") -> None:
        self.problem, self.layer = problem, layer
        super().__init__(f"layer {layer!r}: {problem}" if layer else problem)

    def inside(self, name: str) -> LayerError:
        """Return the same error as seen from one level further out."""
        return LayerError(self.problem, f"{name}.{self.layer}" if self.layer else name)


def as_state(output: Tensor | Iterable[Tensor]) -> State:
    """Return a module's output as a state."""
    return (output,) if isinstance(output, Tensor) else tuple(output)


def as_output(state: State) -> Tensor | State:
    """Return a state as a module's output: the tensor itself when there is one."""
    return state[0] if len(state) == 1 else state


def out_of(state: State) -> State:
    """Return where a step may write what has the shapes of `state`: over it where it is owned, else in new memory."""
    return state if isinstance(state, Owned) else Owned([torch.empty_like(tensor) for tensor in state])


def added(x: State, value: State) -> State:
    """Return x + value, in the memory of either where it is owned and the result has the same type and order there."""
    # A list: the compiler of torch 2.9 cannot follow a generator into a subclass of tuple.
    own_x, own_value = isinstance(x, Owned), isinstance(value, Owned)
    return Owned([_added(a, b, own_x, own_value) for a, b in zip(x, value, strict=True)])


def _added(a: Tensor, b: Tensor, own_a: bool, own_b: bool) -> Tensor:
    if a.dtype != b.dtype or a.stride() != b.stride():
        return a + b
    if own_a:
        return a.add_(b)
    return b.add_(a) if own_b else a + b


def kept_in(memory: State, value: State) -> State:
    """Return `value`, moved to `memory` where that is owned and fits, so that no other memory is held.

    Autograd holds a chain's output until its backward pass has ended: what takes its place belongs there.
    """
    if not isinstance(memory, Owned) or len(memory) != len(value):
        return value
    places = {tensor.untyped_storage()._cdata for tensor in memory}
    pairs = list(zip(memory, value, strict=True))
    if any(tensor.untyped_storage()._cdata in places or not _fits(place, tensor) for place, tensor in pairs):
        return value
    return Owned([_moved(place, tensor) for place, tensor in pairs])


def each_kept_in(memory: State, values: Iterable[Tensor]) -> State:
    """Do the same for new tensors, each made of its own group alone, when the one before it has been moved."""
    if not isinstance(memory, Owned):
        return Owned(values)
    made = iter(values)
    return Owned(_next_moved(place, made) for place in memory)


def _next_moved(place: Tensor, made: Iterator[Tensor]) -> Tensor:
    tensor = next(made)
    return _moved(place, tensor) if _fits(place, tensor) else tensor


def _moved(place: Tensor, tensor: Tensor) -> Tensor:
    return place.as_strided(tensor.shape, tensor.stride()).copy_(tensor)


def _fits(place: Tensor, tensor: Tensor) -> bool:
    same = place.numel() == tensor.numel() and place.dtype == tensor.dtype and place.device == tensor.device
    return same and is_dense(place) and is_dense(tensor)


def is_dense(tensor: Tensor) -> bool:
    """Return whether the tensor is all of its memory, each entry once, in one of the usual orders."""
    if tensor.untyped_storage().nbytes() != tensor.nbytes:
        return False
    return tensor.is_contiguous() or (tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last))
