"""The tracker of live storages against counts by hand, torch's own tracker, its profiler, and fake tensors."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

import pytest
import torch
from torch import Tensor, nn
from torch.distributed._tools.mem_tracker import MemTracker
from torch.profiler import ProfilerActivity, profile

from gradbench.measure.fake import without_memory
from gradbench.measure.memory import LiveStorages, step_memory
from gradbench.strategies import STRATEGIES
from tests.strategies.subjects import subject

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


def test_a_storage_that_is_resized_is_followed() -> None:
    with LiveStorages() as live:
        a = torch.randn(1000)
        a.untyped_storage().resize_(0)
        assert live.now == 0
        a.untyped_storage().resize_(SIZE)
        b = torch.empty(10).resize_(1000)
        assert live.now == live.peak == 2 * SIZE
        del a, b
        assert live.now == 0
    assert torch.UntypedStorage.resize_.__qualname__ == "StorageBase.resize_" or "resize_" not in vars(
        torch.UntypedStorage
    )


def test_what_was_there_before_is_not_counted_though_nobody_named_it() -> None:
    before, freed = torch.randn(1000), torch.randn(1000)
    with LiveStorages() as live:
        view, also = before.view(10, 100), freed * 1
        assert live.now == SIZE
        freed.untyped_storage().resize_(0)
        assert live.now == 0
        freed.untyped_storage().resize_(SIZE)
        assert live.now == SIZE
        del before, view, freed
        assert live.now == SIZE
        made = torch.tensor([1.0, 2.0])
        assert live.now == SIZE + 8
        del also, made
        assert live.now == 0


def test_a_storage_that_replaces_another_and_those_of_a_sparse_tensor() -> None:
    with LiveStorages() as live:
        a, b = torch.randn(1000), torch.randn(500)
        a.set_(b)
        assert live.now == SIZE // 2
        sparse = torch.sparse_coo_tensor(torch.tensor([[1, 2, 3]]), torch.randn(3), (100,), check_invariants=True)
        assert live.now == SIZE // 2 + 3 * 8 + 3 * 4
        del a, b, sparse
        assert live.now == 0


def _step(model: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    return lambda: model(x).square().mean()


@pytest.mark.parametrize("spec", ["stored", "checkpoint", "reconstruct"])
def test_torchs_own_tracker_finds_the_same_peak(spec: str) -> None:
    model, x = subject("revnet", 3), torch.randn(6, 3, 8, 8)
    strategy = STRATEGIES.create(spec)
    forward = _step(model, x)
    with strategy.applied_to(model):
        forward().backward()
        ours = step_memory(model, [x], forward)
        theirs = MemTracker()
        theirs.track_external(x)
        for parameter in (*model.parameters(), *model.buffers()):
            theirs.track_external(parameter)
        before = theirs.get_tracker_snapshot()[torch.device("cpu")]["Total"]
        with theirs:
            forward().backward()
    peak = theirs.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"] - before
    assert abs(peak - ours.peak) <= 0.01 * peak


def test_the_profiler_finds_the_same_peak() -> None:
    model = nn.Sequential(*[layer for _ in range(4) for layer in (nn.Linear(64, 64, bias=False), nn.Tanh())])
    x = torch.randn(128, 64)
    forward = _step(model, x)
    forward().backward()
    ours = step_memory(model, [x], forward)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        forward().backward()
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    assert max(accumulate(event.nbytes() for event in events)) == ours.peak


@pytest.mark.parametrize(
    ("kind", "spec"),
    [("resnet", "stored"), ("resnet", "approximate:4"), ("hybrid", "reconstruct"), ("revnet", "reconstruct")],
)
def test_fake_tensors_need_what_real_ones_need(kind: str, spec: str) -> None:
    strategy = STRATEGIES.create(spec)

    def measured() -> object:
        model, x = subject(kind, 2), torch.randn(4, 3, 8, 8)
        with strategy.applied_to(model):
            _step(model, x)().backward()
            return step_memory(model, [x], _step(model, x))

    real = measured()
    with without_memory():
        assert measured() == real


@pytest.mark.parametrize("spec", ["stored", "checkpoint", "reconstruct", "approximate:4", "stochastic:4"])
def test_the_largest_of_all_moments_is_the_peak_and_there_are_as_many_for_any_batch(spec: str) -> None:
    found = []
    for count in (3, 8):
        model, x = subject("hybrid", 2), torch.randn(count, 3, 8, 8)
        with STRATEGIES.create(spec).applied_to(model):
            _step(model, x)().backward()
            found.append(step_memory(model, [x], _step(model, x)))
        assert max(found[-1].moments) == found[-1].peak
    assert len(found[0].moments) == len(found[1].moments)


def test_an_offloaded_tensor_is_none_of_the_devices() -> None:
    with LiveStorages(torch.device("meta")) as live:
        kept = torch.randn(1000)
        there = torch.empty(1000, device="meta")
    assert live.now == SIZE
    del kept, there
    assert live.now == 0
