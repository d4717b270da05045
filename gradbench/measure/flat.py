"""All gradients of a model as one vector, and sums over parameters and over their output channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["FlatGradients"]


class FlatGradients:
    """All gradients of a model as one float64 vector, and sums over the segment of each parameter.

    Args:
        model: the parameters that require a gradient, in the model's order, make the segments.
    """

    def __init__(self, model: nn.Module) -> None:
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self.names = [name for name, _ in named]
        self.sizes = [p.numel() for _, p in named]
        device = named[0][1].device
        self.lengths = torch.tensor(self.sizes, device=device)
        self.index_of = {name: i for i, name in enumerate(self.names)}
        # Output channels are the slices of a weight along its first axis; what has one axis is one channel.
        self.channels = [len(p) if p.dim() > 1 else 1 for _, p in named]
        self._channel_lengths = torch.tensor(
            [p.numel() // count for (_, p), count in zip(named, self.channels, strict=True) for _ in range(count)],
            device=device,
        )

    def take(self, model: nn.Module) -> tuple[Tensor, list[int]]:
        """Return the model's gradients (P,) and the positions of the parameters that have none (zeros there)."""
        parts, missing = [], []
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            if parameter.grad is None:
                missing.append(self.index_of[name])
                parts.append(torch.zeros(parameter.numel(), dtype=parameter.dtype, device=parameter.device))
            else:
                gradient = parameter.grad.to_dense() if parameter.grad.is_sparse else parameter.grad
                parts.append(gradient.reshape(-1))
        return torch.cat(parts).double(), missing

    def sums(self, values: Tensor) -> Tensor:
        """Return the sum of values (P,) over each parameter: (parameters,)."""
        return torch.segment_reduce(values, "sum", lengths=self.lengths, unsafe=True)

    def alive(self, values: Tensor) -> Tensor:
        """Return for each output channel whether any of its values (P,) is not zero: (channels of all parameters,)."""
        return torch.segment_reduce(values.abs(), "max", lengths=self._channel_lengths, unsafe=True) != 0
