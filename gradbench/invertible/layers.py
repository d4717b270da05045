"""The layers of a model's chains, in the order of the forward pass, with their names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from gradbench.invertible.chain import Chain

__all__ = ["LayerInfo", "layers"]


@dataclass(frozen=True)
class LayerInfo:
    """One layer of a chain.

    Attributes:
        name: its name in the model.
        module: the layer.
        kind: norm, activation, convolution, coupling, pooling or user.
        block: number of its block in the model, from 0; -1 before the first block.
    """

    name: str
    module: nn.Module
    kind: str
    block: int


def layers(model: nn.Module) -> list[LayerInfo]:
    """Return every layer that `watch_rebuilt` reports, a coupling before the layers of its branches.

    The blocks are what stands in the outermost chains, counted through all of them, except for what is named `stem` and
    for poolings: these have the number of the block before them, -1 where there is none.
    """
    found: list[LayerInfo] = []
    block = -1
    for name, part in _parts("", model):
        block += name.rpartition(".")[2] != "stem" and _kind(part) != "pooling"
        found.extend(_inside(name, part, block, in_chain=True))
    return found


def _kind(module: nn.Module) -> str:
    return str(getattr(module, "kind", "user"))


def _children(name: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield every child, one that is used twice too, with its name in the model."""
    prefix = f"{name}." if name else ""
    for child_name, child in module._modules.items():
        if child is not None:
            yield prefix + child_name, child


def _parts(name: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield what stands in the outermost chains of `module`."""
    for child_name, child in _children(name, module):
        if isinstance(module, Chain):
            yield child_name, child
        else:
            yield from _parts(child_name, child)


def _inside(name: str, module: nn.Module, block: int, *, in_chain: bool) -> Iterator[LayerInfo]:
    if in_chain and not isinstance(module, Chain):
        yield LayerInfo(name, module, _kind(module), block)
    for child_name, child in _children(name, module):
        yield from _inside(child_name, child, block, in_chain=isinstance(module, Chain))
