"""Layers that only move entries about: splitting channels into groups, and pooling that loses nothing."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from gradbench.invertible.gradients import Gradients
from gradbench.invertible.protocol import Invertible
from gradbench.invertible.state import LayerError, Memo, State, as_output, as_state

__all__ = ["BatchPooling", "ChannelPooling", "JoinChannels", "SplitChannels"]


class Rearrangement(Invertible):
    """A permutation of the state's entries: its inverse carries gradients as it carries values."""

    kind: ClassVar[str] = "pooling"

    def run(self, x: State) -> tuple[State, Memo]:
        """Return the rearranged state; there is nothing to remember."""
        return as_state(self.forward(*x)), None

    def rerun(self, x: State, memo: Memo) -> State:
        """Return the rearranged state."""
        return as_state(self.forward(*x))

    def invert(self, y: State, memo: Memo) -> State:
        """Return the state as it was."""
        return as_state(self.inverse(*y))

    def backward_step(self, y: State, dy: State, memo: Memo, gradients: Gradients) -> tuple[State, State]:
        """Return the state and its gradient as they were."""
        return as_state(self.inverse(*y)), as_state(self.inverse(*dy))


class SplitChannels(Rearrangement):
    """(N, C, H, W) -> `groups` contiguous tensors of (N, C / groups, H, W)."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def extra_repr(self) -> str:
        """Show the number of groups."""
        return f"groups={self.groups}"

    def forward(self, *x: Tensor) -> Tensor | State:
        """Return the groups."""
        (tensor,) = x
        if tensor.shape[1] % self.groups:
            raise LayerError(f"{tensor.shape[1]} channels cannot be split into {self.groups} equal groups")
        return as_output(tuple(group.contiguous() for group in tensor.chunk(self.groups, 1)))

    def inverse(self, *y: Tensor) -> Tensor | State:
        """Return all channels in one tensor."""
        return torch.cat(y, 1)


class JoinChannels(Rearrangement):
    """`groups` tensors of (N, C / groups, H, W) -> (N, C, H, W): the inverse of `SplitChannels`."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def extra_repr(self) -> str:
        """Show the number of groups."""
        return f"groups={self.groups}"

    def forward(self, *x: Tensor) -> Tensor | State:
        """Return all channels in one tensor."""
        return torch.cat(x, 1)

    def inverse(self, *y: Tensor) -> Tensor | State:
        """Return the groups."""
        (tensor,) = y
        return as_output(tuple(group.contiguous() for group in tensor.chunk(self.groups, 1)))


class ChannelPooling(Rearrangement):
    """Each 2x2 square of pixels to channels, (N, C, H, W) -> (N, 4 C, H/2, W/2) for each group.

    Channel (2 di + dj) C + c of the output is channel c at row offset di and column offset dj. Hascoet et al., P_c.
    """

    def forward(self, *x: Tensor) -> Tensor | State:
        """Return the groups at half the size with four times the channels."""
        return as_output(tuple(_squares(tensor).permute(0, 3, 5, 1, 2, 4).flatten(1, 3) for tensor in x))

    def inverse(self, *y: Tensor) -> Tensor | State:
        """Return the groups at full size."""
        return as_output(
            tuple(tensor.unflatten(1, (2, 2, -1)).permute(0, 3, 4, 1, 5, 2).flatten(4, 5).flatten(2, 3) for tensor in y)
        )


class BatchPooling(Rearrangement):
    """Each 2x2 square of pixels to the batch axis, (N, C, H, W) -> (4 N, C, H/2, W/2) for each group.

    Offsets come first: `y.view(4, N, ...)` gives the four copies, number 2 di + dj at row offset di and column offset
    dj. Hascoet et al., P_b.
    """

    def forward(self, *x: Tensor) -> Tensor | State:
        """Return the groups at half the size with four times the images."""
        return as_output(tuple(_squares(tensor).permute(3, 5, 0, 1, 2, 4).flatten(0, 2) for tensor in x))

    def inverse(self, *y: Tensor) -> Tensor | State:
        """Return the groups at full size."""
        return as_output(
            tuple(tensor.unflatten(0, (2, 2, -1)).permute(2, 3, 4, 0, 5, 1).flatten(4, 5).flatten(2, 3) for tensor in y)
        )


def _squares(x: Tensor) -> Tensor:
    """Return `x` as (N, C, H/2, 2, W/2, 2)."""
    height, width = x.shape[2:]
    if height % 2 or width % 2:
        raise LayerError(f"pooling halves the image, so that {height}x{width} pixels have to be even numbers")
    return x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2))
