"""Vectors of any length as a few numbers each, whose inner products are about those of the whole vectors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["Sketch"]


class Sketch:
    """At most `width` numbers a parameter: sums of its entries, with random signs, over random groups of equal size.

    The inner product of two sketches has the inner product of the vectors as its mean over the signs, and its standard
    deviation is about sqrt(2 / width) of the product of their lengths. Parameters of at most `width` entries are kept
    as they are. Charikar, Chen and Farach-Colton, Finding frequent items in data streams, section 3.

    Args:
        sizes: entries of each parameter.
        device: where the vectors are.
        width: numbers kept of each parameter.
    """

    def __init__(self, sizes: Sequence[int], device: torch.device, width: int = 256) -> None:
        generator = torch.Generator().manual_seed(0)  # the same groups and signs in every run
        orders, signs, lengths = [], [], []
        first = 0
        self.kept = [min(size, width) for size in sizes]
        for size, kept in zip(sizes, self.kept, strict=True):
            small = size <= width
            orders.append(first + (torch.arange(size) if small else torch.randperm(size, generator=generator)))
            random = torch.randint(0, 2, (size,), generator=generator, dtype=torch.int8) * 2 - 1
            signs.append(torch.ones(size, dtype=torch.int8) if small else random)
            lengths.append(torch.full((kept,), size // kept) + (torch.arange(kept) < size % kept))
            first += size
        self._order, self._signs, self._lengths = (torch.cat(parts).to(device) for parts in (orders, signs, lengths))

    def __call__(self, vector: Tensor) -> Tensor:
        """Return the sketches of all parameters of vector (P,), one after the other: (sum of kept,)."""
        if not vector.any():  # an exact gradient's error, whose sketch needs no gathering
            return vector.new_zeros(sum(self.kept))
        return torch.segment_reduce(vector[self._order] * self._signs, "sum", lengths=self._lengths, unsafe=True)
