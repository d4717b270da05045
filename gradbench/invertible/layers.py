"""The layers of a model's chains, in the order of the forward pass, with their names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from gradbench.invertible.chain import Chain
from gradbench.invertible.coupling import AdditiveCoupling

__all__ = ["LayerInfo", "layers"]


@dataclass(frozen=True)
class LayerInfo:
    """One layer of a chain.

    Attributes:
        name: its name in the model.
        module: the layer.
        kind: norm, activation, convolution, coupling, pooling or user.
        block: number of its block in the model's chain, from 0; -1 before the first block.
    """

    name: str
    module: nn.Module
    kind: str
    block: int


def layers(model: nn.Module) -> list[LayerInfo]:
    """Return every layer that `watch_rebuilt` reports, a coupling before the layers of its branches.

    The blocks are what stands in an outermost chain, except for what is named `stem` and for poolings: the stem has number
    -1, and a pooling the number of the block before it.
    """
    found: list[LayerInfo] = []
    inner: set[str] = set()
    for name, module in model.named_modules():
        if isinstance(module, Chain) and not any(name.startswith(f"{outer}.") for outer in inner if outer != name):
            inner.add(name)
            block = -1
            for child_name, child in module.named_children():
                block += child_name != "stem" and getattr(child, "kind", "user") != "pooling"
                found.extend(_inside(f"{name}.{child_name}".lstrip("."), child, block))
    return found


def _inside(name: str, module: nn.Module, block: int) -> Iterator[LayerInfo]:
    if not isinstance(module, Chain):
        yield LayerInfo(name, module, getattr(module, "kind", "user"), block)
    if isinstance(module, AdditiveCoupling | Chain):
        for child_name, child in module.named_children():
            if isinstance(module, Chain) or isinstance(child, Chain):
                yield from _inside(f"{name}.{child_name}", child, block)
