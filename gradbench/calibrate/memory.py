"""Memory of a step against a count by hand, on networks so small that every tensor can be named.

All layers are WIDTH numbers wide, without bias, in float32; A is the memory of a batch of activations and W that of a
weight. A batch is what was there before and is not counted. A scalar has 4 bytes, on a GPU too, since bytes are counted
as they were asked for.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from gradbench.calibrate.count import Count, exact
from gradbench.invertible import Chain, InvertibleLeakyReLU
from gradbench.measure.memory import StepMemory, step_memory

__all__ = ["calibrate_memory"]

GROUP = "memory of a step"
BATCH, WIDTH = 128, 64
A = BATCH * WIDTH * 4
W = WIDTH * WIDTH * 4
SCALAR = 4


def calibrate_memory(device: str = "cpu") -> Iterator[Count]:
    """Yield saved, peak and left bytes of each network, in bytes."""
    for depth in (2, 5):
        layers = [layer for _ in range(depth) for layer in (nn.Linear(WIDTH, WIDTH, bias=False), nn.Tanh())]
        memory = _measure(nn.Sequential(*layers), device)
        # A tanh keeps its output, and the next layer the same tensor; then there is the loss. The peak is in the
        # backward pass of the last linear layer: the other tanhs' outputs, the gradient of its output, of its input and
        # of its weight, the loss and the one that the backward pass begins with.
        saved = depth * A + SCALAR
        peak = (depth - 1) * A + 2 * A + W + 2 * SCALAR
        yield from _compare(f"stored, {depth} layers", memory, saved, peak)
    for depth in (2, 5):
        chain = Chain(*(InvertibleLeakyReLU(0.5) for _ in range(depth)))
        memory = _measure(nn.Sequential(nn.Linear(WIDTH, WIDTH, bias=False), chain), device)
        # The chain keeps its output alone, however deep it is. The peak is in its backward pass: the output, which no
        # one else holds and which is inverted where it lies, and the gradient, which the layers overwrite. The gradient
        # of a sum is one number, seen as many.
        yield from _compare(f"reconstructed, {depth} layers", memory, A + SCALAR, 2 * A + 2 * SCALAR)


def _measure(model: nn.Module, device: str) -> StepMemory:
    model = model.to(device)
    x = torch.randn(BATCH, WIDTH, device=device)

    def loss() -> Tensor:
        return model(x).sum()

    loss().backward()  # the libraries of a GPU ask for their workspaces once
    return step_memory(model, [x], loss)


def _compare(what: str, memory: StepMemory, saved: int, peak: int) -> Iterator[Count]:
    yield exact(GROUP, f"saved_bytes: {what}", saved, memory.saved)
    yield exact(GROUP, f"peak_bytes: {what}", peak, memory.peak)
    yield exact(GROUP, f"left_bytes: {what}", 0, memory.left)
