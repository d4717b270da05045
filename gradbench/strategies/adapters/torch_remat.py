"""torch_remat's checkpoint: recomputation without a replay of random numbers, which is left to its user."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import nn

from gradbench.strategies.adapters.blocks import BlockAdapter

__all__ = ["TorchRemat"]


class TorchRemat(BlockAdapter):
    """`torch_remat.checkpoint()(block)`, everything inside recomputed, its default.

    Source: https://pypi.org/project/torch-remat
    """

    package: ClassVar[str] = "torch_remat"
    installed_as: ClassVar[str] = "torch-remat"

    @property
    def name(self) -> str:
        return "torch-remat"

    def wrapped(self, block: nn.Module) -> Callable[..., Any]:
        import torch_remat

        return torch_remat.checkpoint()(block.forward)
