"""Gradients that add up over parts of the minibatch, against plain autograd in float64 on the whole and the parts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradbench.errors import UsageError
from gradbench.measure.explain import explain
from gradbench.measure.memory import step_memory
from gradbench.measure.state import State
from gradbench.measure.step import forward_passes, take_step
from gradbench.strategies import STRATEGIES


def network(norm: bool, dropout: float = 0.0) -> nn.Module:
    norms = [nn.BatchNorm2d(6)] if norm else []
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), *norms, nn.Dropout(dropout), nn.Tanh(), nn.Flatten(), nn.Linear(96, 4)
    ).double()


def minibatch(count: int) -> tuple[Tensor, Tensor]:
    return torch.randn(count, 3, 4, 4, dtype=torch.float64), torch.randint(0, 4, (count,))


def gradients(model: nn.Module, x: Tensor, y: Tensor) -> list[Tensor]:
    """Plain autograd, nothing of ours."""
    return list(torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters())))


def found(model: nn.Module, chunks: int, x: Tensor, y: Tensor) -> tuple[Tensor, list[Tensor]]:
    model.zero_grad(set_to_none=True)
    value = take_step(model, STRATEGIES.create(f"accumulate:{chunks}"), (x, y))
    return value, [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


@pytest.mark.parametrize(("images", "chunks"), [(12, 3), (7, 2), (5, 4), (3, 8)])
def test_without_batch_norm_it_is_the_gradient_of_the_whole_minibatch(images: int, chunks: int) -> None:
    model, (x, y) = network(norm=False), minibatch(images)
    value, mine = found(model, chunks, x, y)
    torch.testing.assert_close(value, F.cross_entropy(model(x), y).detach())
    torch.testing.assert_close(mine, gradients(model, x, y), rtol=1e-12, atol=1e-14)


def test_with_batch_norm_it_is_the_mean_of_the_parts_gradients_and_not_that_of_the_whole() -> None:
    model, (x, y) = network(norm=True), minibatch(12)
    _, mine = found(model, 3, x, y)
    parts = [gradients(model, x[4 * i : 4 * i + 4], y[4 * i : 4 * i + 4]) for i in range(3)]
    torch.testing.assert_close(mine, [torch.stack(part).mean(0) for part in zip(*parts, strict=True)])
    whole = gradients(model, x, y)
    assert max(float((a - b).norm() / b.norm()) for a, b in zip(mine, whole, strict=True)) > 0.01


def test_parts_of_unequal_size_count_by_their_images() -> None:
    model, (x, y) = network(norm=True), minibatch(7)
    _, mine = found(model, 2, x, y)
    halves = gradients(model, x[:3], y[:3]), gradients(model, x[3:], y[3:])
    torch.testing.assert_close(mine, [(3 * a + 4 * b) / 7 for a, b in zip(*halves, strict=True)])


def test_the_running_statistics_move_once_a_part_which_is_told() -> None:
    model, batch = network(norm=True), minibatch(8)
    (check,) = [
        one
        for one in State(model, STRATEGIES.create("stored"), batch).of(STRATEGIES.create("accumulate:4"))
        if one.check == "buffers"
    ]
    assert check.outcome == "fault"
    assert "counts 4 where stored training counts 1" in check.says


def test_dropout_draws_its_masks_part_by_part_and_uses_them_in_the_backward_pass() -> None:
    model, batch = network(norm=False, dropout=0.5), minibatch(8)
    checks = {
        one.check: one for one in State(model, STRATEGIES.create("stored"), batch).of(STRATEGIES.create("accumulate:2"))
    }
    assert checks["masks"].outcome == checks["gradients"].outcome == checks["memory"].outcome == "exact"


def test_only_one_part_is_kept_at_a_time() -> None:
    model, batch = network(norm=True), minibatch(64)

    def saved(spec: str) -> int:
        passes = forward_passes(model, STRATEGIES.create(spec), batch)
        return step_memory(model, list(batch), *passes).saved

    weights = sum(parameter.nbytes for parameter in model.parameters())
    assert saved("accumulate:8") - weights == pytest.approx(saved("stored") / 8, rel=0.05)


def test_inputs_by_name_are_divided_and_what_is_no_minibatch_is_not() -> None:
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(5, 4)

        def forward(self, tokens: Tensor, mask: Tensor, scale: float) -> Tensor:
            return self.linear((mask @ tokens * scale).mean(1))

    model = Attending().double()
    inputs = {"tokens": torch.randn(6, 3, 5, dtype=torch.float64), "mask": torch.rand(3, 3).double(), "scale": 0.5}
    y = torch.randint(0, 4, (6,))
    whole = torch.autograd.grad(F.cross_entropy(model(**inputs), y), list(model.parameters()))
    take_step(model, STRATEGIES.create("accumulate:3"), (inputs, y))
    torch.testing.assert_close([parameter.grad for parameter in model.parameters()], list(whole))


def test_it_cannot_be_explained_part_by_part() -> None:
    model, batch = network(norm=True), minibatch(4)
    with pytest.raises(UsageError, match="accumulate:2 cannot be explained: it divides the minibatch"):
        explain(model, F.cross_entropy, [batch] * 3, STRATEGIES.create("accumulate:2"))


@pytest.mark.parametrize("spec", ["accumulate", "accumulate:1", "accumulate:x"])
def test_it_needs_two_parts_or_more(spec: str) -> None:
    with pytest.raises(UsageError, match="accumulate"):
        STRATEGIES.create(spec)
