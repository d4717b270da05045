"""A minibatch as a model takes it: a tensor, or tensors nested in tuples, lists, dicts and records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

__all__ = ["Batch", "Loss", "call", "in_double", "pixels", "same_bits", "tensors"]

#: Inputs and target. The inputs are a tensor, a tuple or list of arguments, or a dict of named arguments.
Batch = tuple[Any, Any]
#: From the model's output and the target to the loss, a scalar.
Loss = Callable[[Any, Any], Tensor]


def call(model: nn.Module, inputs: Any) -> Any:
    """Run the model: `model(x)`, of a tuple or list `model(*x)`, of a dict `model(**x)`.

    A named tuple, such as a packed sequence, is one argument.
    """
    if isinstance(inputs, Mapping):
        return model(**inputs)
    if isinstance(inputs, tuple | list) and not hasattr(inputs, "_fields"):
        return model(*inputs)
    return model(inputs)


def tensors(value: Any) -> Iterator[Tensor]:
    """Yield every tensor in `value`, whatever it is nested in, in order."""
    for leaf in tree_leaves(value):
        if isinstance(leaf, Tensor):
            yield leaf
        elif isinstance(leaf, Mapping):
            for each in leaf.values():
                yield from tensors(each)
        elif is_dataclass(leaf) and not isinstance(leaf, type):
            for each in vars(leaf).values():
                yield from tensors(each)


def in_double(value: Any) -> Any:
    """Return `value` with every floating tensor in float64."""
    return tree_map(
        lambda leaf: leaf.double() if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf, value
    )


def pixels(inputs: Any) -> int | None:
    """Return N*H*W of images (N, C, H, W); None where the inputs are something else."""
    if isinstance(inputs, Tensor) and inputs.dim() == 4 and inputs.is_floating_point():
        return inputs.shape[0] * inputs.shape[2] * inputs.shape[3]
    return None


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors have the same dtype, shape and bits; equal NaNs are equal."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(one.detach().flatten().view(torch.uint8), other.detach().flatten().view(torch.uint8))
