"""The tracker of live storages against counts by hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gradbench.measure.memory import LiveStorages, step_memory

SIZE = 1000 * 4


class Keeps(torch.autograd.Function):
    """Keeps three copies on its context, which saved-tensor hooks do not see."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # noqa: ANN001
        ctx.copies = [x + 1, x + 2, x + 3]
        return x * 2

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:  # noqa: ANN001
        ctx.copies = None
        return gradient * 2


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1000))

    def forward(self, x: Tensor) -> Tensor:
        return Keeps.apply(x * self.weight)


def test_live_storages_are_counted_once_and_forgotten_when_freed() -> None:
    with LiveStorages() as live:
        a = torch.randn(1000)
        view = a[:10].view(2, 5)
        assert live.now == SIZE
        b = a + 1
        assert live.now == live.peak == 2 * SIZE
        a.add_(1)
        assert live.now == 2 * SIZE
        del a
        assert live.now == 2 * SIZE  # the view keeps it
        del view
        assert live.now == SIZE
        del b
        assert (live.now, live.peak) == (0, 2 * SIZE)


def test_a_step_by_hand() -> None:
    net, x = Net(), torch.randn(1000)
    memory = step_memory(net, [x], lambda: net(x).sum())
    # Alive after the forward pass: three copies and the loss; autograd keeps x and the weight, which are not new.
    assert memory.saved == 3 * SIZE + 4
    # In the backward pass at most: the expanded gradient is a view of 4 bytes; then its double, and the product.
    assert 5 * SIZE <= memory.peak <= 6 * SIZE
    assert memory.left == 0
    assert net.weight.grad is None


def test_the_batch_is_not_counted_when_the_model_only_views_it() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(10, 3))
    x = torch.randn(100, 2, 5)
    memory = step_memory(net, [x], lambda: net(x).sum())
    assert memory.saved == 4  # the loss
    assert memory.left == 0
