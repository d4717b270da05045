"""FairScale's checkpoint wrapper, which keeps torch's own batch norms from moving their statistics twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import nn

from gradbench.strategies.adapters.blocks import BlockAdapter

__all__ = ["FairScaleCheckpoint"]


class FairScaleCheckpoint(BlockAdapter):
    """`checkpoint_wrapper(block)`.

    Source: https://github.com/facebookresearch/fairscale, `fairscale.nn.checkpoint`.
    """

    package: ClassVar[str] = "fairscale"
    installed_as: ClassVar[str] = "fairscale"

    @property
    def name(self) -> str:
        return "fairscale-checkpoint"

    def wrapped(self, block: nn.Module) -> Callable[..., Any]:
        from fairscale.nn.checkpoint import checkpoint_wrapper

        wrapper = checkpoint_wrapper(_Block(block))

        def run(*inputs: Any, **named: Any) -> Any:
            output = wrapper(*inputs, **named)
            return tuple(output) if isinstance(output, list) else output  # it makes a list of a tuple

        return run


class _Block(nn.Module):
    """The block as a module of its own, since the wrapper replaces the `forward` of what it is given."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block
        self.run = block.forward

    def forward(self, *inputs: Any, **named: Any) -> Any:
        return self.run(*inputs, **named)
