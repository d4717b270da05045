"""Layers that only move entries about: splitting channels into groups, and pooling that loses nothing."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from gradbench.invertible.gradients import Gradients
from gradbench.invertible.protocol import Invertible
from gradbench.invertible.state import LayerError, Memo, Owned, State, as_output, as_state, each_kept_in, kept_in

__all__ = ["BatchPooling", "ChannelPooling", "JoinChannels", "SplitChannels"]


class Rearrangement(Invertible):
    """A permutation of the state's entries: its inverse carries gradients as it carries values."""

    kind: ClassVar[str] = "pooling"

    def run(self, x: State) -> tuple[State, Memo]:
        """Return the rearranged state; there is nothing to remember."""
        return self.rerun(x, None), None

    def rerun(self, x: State, memo: Memo) -> State:
        """Return the rearranged state."""
        return _as_owned(x, as_state(self.forward(*x)))

    def invert(self, y: State, memo: Memo) -> State:
        """Return the state as it was."""
        return _as_owned(y, kept_in(y, as_state(self.inverse(*y))))

    def backward_step(self, y: State, dy: State, memo: Memo, gradients: Gradients) -> tuple[State, State]:
        """Return the state and its gradient as they were."""
        return self.invert(y, memo), self.invert(dy, memo)


def _as_owned(state: State, rearranged: State) -> State:
    """Return a rearrangement of `state`, views of it perhaps, as owned as that is."""
    return Owned(rearranged) if isinstance(state, Owned) else rearranged


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


class Pooling(Rearrangement):
    """A rearrangement of each group by itself."""

    @staticmethod
    def pooled(group: Tensor) -> Tensor:
        """Return a group at half the size."""
        raise NotImplementedError

    @staticmethod
    def full(group: Tensor) -> Tensor:
        """Return a group at full size."""
        raise NotImplementedError

    def forward(self, *x: Tensor) -> Tensor | State:
        """Return the groups at half the size."""
        return as_output(tuple(self.pooled(group) for group in x))

    def inverse(self, *y: Tensor) -> Tensor | State:
        """Return the groups at full size."""
        return as_output(tuple(self.full(group) for group in y))

    def invert(self, y: State, memo: Memo) -> State:
        """Return the groups at full size: one after the other, so that only one is there twice."""
        full = (self.full(group) for group in y)  # a view, perhaps, of an image of one pixel
        return each_kept_in(y, full) if isinstance(y, Owned) else tuple(full)


class ChannelPooling(Pooling):
    """Each 2x2 square of pixels to channels, (N, C, H, W) -> (N, 4 C, H/2, W/2) for each group.

    Channel (2 di + dj) C + c of the output is channel c at row offset di and column offset dj. Hascoet et al., P_c.
    """

    @staticmethod
    def pooled(group: Tensor) -> Tensor:
        """Return a group at half the size with four times the channels."""
        return _squares(group).permute(0, 3, 5, 1, 2, 4).flatten(1, 3)

    @staticmethod
    def full(group: Tensor) -> Tensor:
        """Return a group at full size."""
        return group.unflatten(1, (2, 2, -1)).permute(0, 3, 4, 1, 5, 2).flatten(4, 5).flatten(2, 3)


class BatchPooling(Pooling):
    """Each 2x2 square of pixels to the batch axis, (N, C, H, W) -> (4 N, C, H/2, W/2) for each group.

    Offsets come first: `y.view(4, N, ...)` gives the four copies, number 2 di + dj at row offset di and column offset
    dj. Hascoet et al., P_b.
    """

    @staticmethod
    def pooled(group: Tensor) -> Tensor:
        """Return a group at half the size with four times the images."""
        return _squares(group).permute(3, 5, 0, 1, 2, 4).flatten(0, 2)

    @staticmethod
    def full(group: Tensor) -> Tensor:
        """Return a group at full size."""
        return group.unflatten(0, (2, 2, -1)).permute(2, 3, 4, 0, 5, 1).flatten(4, 5).flatten(2, 3)


def _squares(x: Tensor) -> Tensor:
    """Return `x` as (N, C, H/2, 2, W/2, 2)."""
    height, width = x.shape[2:]
    if height % 2 or width % 2:
        raise LayerError(f"pooling halves the image, so that {height}x{width} pixels have to be even numbers")
    return x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2))
