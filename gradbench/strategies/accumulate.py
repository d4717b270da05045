"""Gradient accumulation: the minibatch in parts, one after the other, whose gradients add up."""

from __future__ import annotations

from gradbench.strategies.stored import Stored

__all__ = ["Accumulate"]


class Accumulate(Stored):
    """Forward and backward pass of one part of the minibatch after the other, each with stored activations.

    The memory of activations is that of one part. For a loss that is a mean over images, and a model that treats each
    image for itself, the gradient is that of the whole minibatch, but for the order of additions. Batch norm does not:
    each part is normalised by statistics of its own, and the running statistics move once a part, so that the gradient
    is that of another function of the weights.

    The context alone stores as `stored` does: the parts are made by the step (`gradbench.measure.step.take_step`).

    Args:
        chunks: how many parts, of sizes that differ by one image at most; at most as many as there are images.
    """

    def __init__(self, chunks: int) -> None:
        self.chunks = chunks

    @property
    def name(self) -> str:
        return f"accumulate:{self.chunks}"
