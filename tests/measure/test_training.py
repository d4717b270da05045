"""Training is decided by its seed: the schedule, the twin runs, and divergence as a result."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gradbench.calibrate.planted import Planted
from gradbench.case.schema import Data, Model, Train
from gradbench.data import DATASETS
from gradbench.data.batches import Batches
from gradbench.measure.training import evaluate, one_cycle, train, two_steps
from gradbench.models.build import build
from gradbench.strategies import STRATEGIES
from gradbench.strategies.base import Strategy

DATA = Data(name="synthetic", batch_size=16, image_size=16)
SETTINGS = Train(steps=30, learning_rate=0.05, evaluate_every=15, evaluate_images=64)


def batches() -> Batches:
    return Batches(DATASETS["synthetic"].load()(DATA, torch.device("cpu"), 0), DATA, 0)


def fresh_model() -> nn.Module:
    torch.manual_seed(0)
    return build(Model(name="hybrid", depth=2, width=8), classes=10, image_size=16)


def run(strategy: Strategy, settings: Train = SETTINGS) -> tuple[list, dict[str, Tensor]]:
    model = fresh_model()
    points = train(model, strategy, batches(), settings, steps=settings.steps, curve=True)
    return points, model.state_dict()


def test_checkpoint_training_is_stored_training_bit_for_bit() -> None:
    points, state = run(STRATEGIES.create("stored"))
    again, twin = run(STRATEGIES.create("checkpoint"))
    assert [p.loss for p in points] == [p.loss for p in again]
    assert all(torch.equal(value, twin[name]) for name, value in state.items())
    assert [p.step for p in points] == [0, 15, 30]
    assert math.isnan(points[0].train_loss)
    assert points[-1].loss < 0.8 * points[0].loss


@pytest.mark.parametrize(
    ("name", "truth"),
    [
        ("adam", lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.8, 0.999), weight_decay=0.1)),
        ("rmsprop", lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.8, weight_decay=0.1)),
        ("sgd", lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.8, nesterov=True, weight_decay=0.1)),
    ],
)
def test_the_first_step_is_the_optimisers_own(name: str, truth: Callable[..., torch.optim.Optimizer]) -> None:
    settings = Train(steps=2, learning_rate=0.02, warmup=1.0, momentum=0.8, weight_decay=0.1, optimizer=name)
    model, twin = fresh_model(), fresh_model()
    train(model, STRATEGIES.create("stored"), batches(), settings, steps=1, curve=False)
    x, y = batches().batch(0)
    with STRATEGIES.create("stored").applied_to(twin):
        torch.nn.functional.cross_entropy(twin(x), y).backward()
    truth(twin.parameters()).step()
    for mine, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine, other)


def test_divergence_ends_training_and_is_seen() -> None:
    points, _ = run(Planted(lambda name, g: g * 1e30))
    assert points[-1].diverged
    assert len(points) < 3 or not math.isfinite(points[-1].loss)
    assert not points[0].diverged


@pytest.mark.parametrize(("warmup", "peak_at"), [(0.0, 0), (0.25, 4), (1.0, 19)])
def test_one_cycle_rises_to_the_peak_and_falls_to_zero(warmup: float, peak_at: int) -> None:
    settings = Train(steps=20, learning_rate=0.4, warmup=warmup)
    rates = [one_cycle(step, settings) for step in range(20)]
    assert max(rates) == pytest.approx(0.4)
    assert rates.index(max(rates)) in (peak_at, peak_at + 1)
    assert all(rate > 0 for rate in rates)
    differences = {round(b - a, 9) for a, b in itertools.pairwise(rates)}
    assert len(differences) <= 3
    if warmup < 1:
        assert one_cycle(20, settings) == 0


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 7, 10, 24])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.2, 0.25, 0.5, 0.9, 1.0])
def test_one_cycle_never_exceeds_its_peak(steps: int, warmup: float) -> None:
    settings = Train(steps=steps, learning_rate=0.1, warmup=warmup)
    rates = [one_cycle(step, settings) for step in range(steps)]
    assert min(rates) > 0
    assert max(rates) == pytest.approx(0.1)


def test_evaluate_is_mean_loss_and_share_of_hits() -> None:
    class Says(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1)[:, :3] * 1.0

    x = torch.zeros(5, 1, 1, 3)
    x[torch.arange(5), 0, 0, torch.tensor([0, 1, 2, 0, 0])] = 50.0
    y = torch.tensor([0, 1, 2, 0, 1])
    loss, accuracy = evaluate(Says(), [(x[:2], y[:2]), (x[2:], y[2:])])
    assert accuracy == 0.8
    assert loss == pytest.approx(10.0)


def test_two_steps_are_those_of_the_optimiser_by_hand() -> None:
    batch, model, twin = batches().batch(0), fresh_model(), fresh_model()
    two_steps(model, STRATEGIES.create("stored"), batch, SETTINGS)
    optimizer = torch.optim.SGD(
        twin.parameters(),
        lr=SETTINGS.learning_rate,
        momentum=SETTINGS.momentum,
        weight_decay=SETTINGS.weight_decay,
        nesterov=True,
    )
    for _ in range(2):
        optimizer.zero_grad()
        with STRATEGIES.create("stored").applied_to(twin):
            nn.functional.cross_entropy(twin(batch[0]), batch[1]).backward()
        optimizer.step()
    assert all(torch.equal(value, twin.state_dict()[name]) for name, value in model.state_dict().items())
