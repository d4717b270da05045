"""PyTorch Geometric's grouped reversible block, with two groups: then it is the additive coupling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from gradbench.strategies.adapters.couplings import CouplingAdapter

__all__ = ["GroupAddRev"]


class GroupAddRev(CouplingAdapter):
    """`GroupAddRev` of f and g, whose graph they do not read.

    Source: Li et al., Training graph neural networks with 1000 layers, section 3.2.
    """

    package: ClassVar[str] = "torch_geometric"
    installed_as: ClassVar[str] = "torch-geometric"

    @property
    def name(self) -> str:
        return "group-add-rev"

    def sequence(self, branches: Sequence[tuple[nn.Module, nn.Module]]) -> Callable[[Tensor], Tensor]:
        from torch_geometric.nn.models import GroupAddRev

        blocks = [GroupAddRev(nn.ModuleList([_WithoutGraph(f), _WithoutGraph(g)]), split_dim=1) for f, g in branches]

        def run(x: Tensor) -> Tensor:
            for block in blocks:
                x = block(x, None)
            return x

        return run


class _WithoutGraph(nn.Module):
    """A branch that is given the edges of a graph, and needs none."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        return self.branch(x)
