"""What a plan says fits does fit, and one image or block more does not: real steps on a CPU, storages followed."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch

from gradbench.errors import UsageError
from gradbench.measure.memory import step_memory
from gradbench.measure.need import Needs, Subject
from gradbench.measure.training import make_optimizer
from gradbench.planning.plan import Plan, make_plan
from gradbench.planning.subject import subject_of
from gradbench.strategies import STRATEGIES
from tests.planning.networks import small_subject

CPU = torch.device("cpu")
MEMORY = 1_600_000
BATCH = 48
STRATEGIES_OF = {"resnet": ("stored", "checkpoint"), "revnet": ("stored", "reconstruct")}


def subject(name: str) -> Subject:
    return subject_of(name, (8, 8), ["model.width=8", "model.depth=2", "model.pooling=['max']"])


@cache
def plan(name: str) -> Plan:
    planned = subject(name)
    if name == "revnet":  # of which a network of any depth takes little more
        planned = replace(planned, depth=None, make=lambda depth: subject(name).make(2))
    return make_plan(planned, MEMORY, BATCH, STRATEGIES_OF[name])


def taken(name: str, strategy: str, count: int, depth: int) -> int:
    """Return the bytes of a real step: weights, buffers, the optimiser's state after a step, the batch and the peak."""
    planned = subject(name)
    model, loss = planned.on(CPU, depth)
    x, y = planned.batch(count, CPU)
    optimizer = make_optimizer(model, planned.train)
    with STRATEGIES.create(strategy).applied_to(model):
        loss(model(x), y).backward()
        optimizer.step()
        peak = step_memory(model, [x, y], lambda: loss(model(x), y)).peak
    state = sum(t.nbytes for held in optimizer.state.values() for t in held.values() if isinstance(t, torch.Tensor))
    return peak + state + sum(t.nbytes for t in (*model.parameters(), *model.buffers(), x, y))


@pytest.mark.parametrize(("name", "strategy"), [(n, s) for n, names in STRATEGIES_OF.items() for s in names])
def test_the_largest_batch_fits_and_one_more_does_not(name: str, strategy: str) -> None:
    (room,) = [room for room in plan(name).rooms if room.strategy == strategy]
    assert room.largest_batch is not None
    assert taken(name, strategy, room.largest_batch, 2) <= MEMORY < taken(name, strategy, room.largest_batch + 1, 2)
    on_the_line = room.fixed_bytes + room.bytes_per_pixel * 64 * room.largest_batch
    assert on_the_line == pytest.approx(taken(name, strategy, room.largest_batch, 2), rel=0.02)


@pytest.mark.parametrize(("name", "strategy"), [("resnet", "stored"), ("resnet", "checkpoint")])
def test_the_largest_depth_fits_and_a_few_per_cent_more_does_not(name: str, strategy: str) -> None:
    (room,) = [room for room in plan(name).rooms if room.strategy == strategy]
    assert room.largest_depth is not None
    deepest = room.largest_depth
    assert taken(name, strategy, BATCH, max(1, int(deepest * 0.95))) <= MEMORY
    assert taken(name, strategy, BATCH, int(deepest * 1.05) + 2) > MEMORY


@pytest.mark.parametrize(("strategy", "off"), [("stored", 0), ("checkpoint", 0), ("stochastic:4", 5000)])
def test_two_steps_tell_any_batch(strategy: str, off: int) -> None:
    """Against a step on that batch itself; what rounds sizes up is off by some bytes."""
    needs, chosen = Needs(subject("resnet"), CPU), STRATEGIES.create(strategy)
    need = needs.by_images(chosen, MEMORY, BATCH, 1)
    for count in (2, 31, 200):
        assert need(count) == pytest.approx(needs.of(chosen, count, 1), abs=off)


@pytest.mark.parametrize("strategy", ["stored", "checkpoint"])
def test_two_depths_tell_any_depth(strategy: str) -> None:
    """Against a network of that depth itself."""
    needs, chosen = Needs(subject("resnet"), CPU), STRATEGIES.create(strategy)
    need = needs.by_depth(chosen, 4 * BATCH, 8)
    assert need(5) == needs.of(chosen, 4 * BATCH, 5)
    assert need(16) == pytest.approx(needs.of(chosen, 4 * BATCH, 16), rel=1e-3)


def test_a_step_that_is_other_operations_with_more_images_is_asked_for_itself() -> None:
    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        extra = output.square().sum() if len(output) > 100 else 0.0
        return torch.nn.functional.cross_entropy(output, target) + extra

    needs = Needs(replace(subject("resnet"), make=lambda depth: (subject("resnet").make(depth)[0], loss)), CPU)
    by_images = needs.by_images(STRATEGIES.create("stored"), 10 * MEMORY, BATCH, 1)
    assert by_images(99) == needs.of(STRATEGIES.create("stored"), 99, 1)


def test_what_stays_from_step_to_step_is_counted_apart() -> None:
    model, _ = subject("resnet").on(CPU, 2)
    weights = sum(t.nbytes for t in (*model.parameters(), *model.buffers()))
    gradients = sum(p.nbytes for p in model.parameters())
    resident = plan("resnet").resident
    assert (resident.weights, resident.gradients, resident.state) == (weights, gradients, gradients)  # SGD's momentum


@pytest.mark.parametrize(
    ("depth", "batch", "memory"), [(9, 4, 10**6), (2, 2, 10**6), (3, 24, 480_000), (2, 24, 400_000)]
)
def test_the_models_own_depth_and_batch_may_be_any(depth: int, batch: int, memory: int) -> None:
    """Deep already, the smallest batch, and too deep already: against each depth and batch itself."""
    small = replace(small_subject(), depth=depth)
    (room,) = make_plan(small, memory, batch, ["stored"]).rooms
    needs, stored = Needs(small, CPU), STRATEGIES.create("stored")
    for found, need in (
        (room.largest_batch, lambda count: needs.of(stored, count, depth)),
        (room.largest_depth, lambda deep: needs.of(stored, batch, deep)),
    ):
        assert found is not None, room
        assert need(found) <= memory < need(found + 1)


def test_a_memory_too_small_for_the_weights_fits_nothing() -> None:
    (room,) = make_plan(subject("resnet"), 1000, BATCH, ["stored"]).rooms
    assert (room.largest_batch, room.largest_depth, room.reason) == (None, None, "")


def test_a_strategy_that_does_not_apply_has_its_reason() -> None:
    (room,) = make_plan(subject("resnet"), MEMORY, BATCH, ["reconstruct"]).rooms
    assert room.reason == "ResNet has no invertible chain, so nothing can be rebuilt"
    assert room.largest_batch is None


def test_a_wrong_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown model 'resnet81': allowed are .*; did you mean 'resnet18'"):
        subject_of("resnet81", None, [])
