"""From the last state to one score a class."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Head"]


class Head(nn.Module):
    """Global maximum of each channel, one linear map without bias, times 0.125.

    Args:
        channels: channels of all groups together.
        classes: number of scores.
        copies: parts of each image that batch poolings put on the batch axis, 4 a pooling, position before image; the
            maximum runs over them as well.
    """

    def __init__(self, channels: int, classes: int, copies: int = 1) -> None:
        super().__init__()
        self.copies = copies
        self.linear = nn.Linear(channels, classes, bias=False)

    def forward(self, *x: Tensor) -> Tensor:
        """Return the scores (N, classes) of a state whose groups are (copies * N, C_g, H, W)."""
        # A maximum over one axis keeps positions for its backward pass, not the state.
        peaks = torch.cat([group.flatten(2).max(2).values for group in x], 1)
        if self.copies > 1:
            peaks = peaks.unflatten(0, (self.copies, -1)).max(0).values
        return 0.125 * self.linear(peaks)
