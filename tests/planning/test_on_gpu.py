"""Plans checked by real steps on a GPU."""

from __future__ import annotations

import pytest
import torch

from gradbench.errors import UsageError
from gradbench.measure.need import Needs
from gradbench.planning.on_gpu import OnGPU
from gradbench.planning.plan import Plan, make_plan
from gradbench.planning.subject import subject_of
from gradbench.strategies import STRATEGIES

pytestmark = pytest.mark.gpu

MEMORY = 256 * 2**20
BATCH = 64
STRATEGIES_OF = ("stored", "reconstruct", "checkpoint", "approximate:4", "stochastic:4", "offload")


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(subject_of("hybrid", None, []), MEMORY, BATCH, STRATEGIES_OF, torch.device("cuda"), jobs=6)


def test_every_strategy_is_predicted_and_checked(plan: Plan) -> None:
    assert [(room.strategy, room.reason) for room in plan.rooms] == [(name, "") for name in STRATEGIES_OF]
    assert all(room.checked_batch and room.checked_depth and room.largest_batch for room in plan.rooms)
    ratios = {room.strategy: room.time_ratio for room in plan.rooms}
    assert ratios["stored"] == 1
    assert all(ratio is not None and ratio > 0 for ratio in ratios.values())


def test_what_was_checked_fits_no_less_than_workspace_and_fragments_take_away(plan: Plan) -> None:
    for room in plan.rooms:
        assert room.checked_batch <= 1.05 * room.largest_batch, room
    batches = {room.strategy: room.checked_batch for room in plan.rooms}
    assert batches["stored"] < batches["checkpoint"] < batches["reconstruct"]


def test_a_step_without_values_takes_what_a_step_on_the_cpu_does() -> None:
    subject = subject_of("hybrid", None, [])
    for name in ("stored", "reconstruct", "checkpoint"):
        strategy = STRATEGIES.create(name)
        on_gpu, on_cpu = (
            Needs(subject, torch.device(kind)).of(strategy, 128, subject.depth) for kind in ("cuda", "cpu")
        )
        assert on_gpu == pytest.approx(on_cpu, rel=0.02), name


def test_the_limit_is_taken_back(plan: Plan) -> None:
    real, strategy = OnGPU(subject_of("hybrid", None, []), MEMORY, torch.device("cuda")), STRATEGIES.create("stored")
    assert real.largest_batch(strategy, plan.rooms[0].checked_batch, 2)
    assert torch.empty(2 * MEMORY, dtype=torch.uint8, device="cuda").nbytes == 2 * MEMORY


def test_more_memory_than_there_is_is_one_sentence() -> None:
    with pytest.raises(UsageError, match="--memory: the GPU has .* GiB, which is less"):
        OnGPU(subject_of("resnet", None, []), 2**60, torch.device("cuda"))
