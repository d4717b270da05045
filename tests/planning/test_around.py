"""What fits on a GPU, with a CPU standing in for it: what fits there is counted."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from gradbench.errors import UsageError
from gradbench.measure.need import Needs, Subject
from gradbench.measure.precision import PRECISIONS
from gradbench.planning import on_gpu
from gradbench.planning.calls import Asked
from gradbench.planning.crew import Progress
from gradbench.planning.plan import make_plan
from tests.planning.networks import depth_of, small_subject

CPU = torch.device("cpu")
MEMORY = 800_000
FRAGMENTS = 0.06
"""The share of the memory that the stand-in cannot use, so that less fits than was counted."""


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Subject:
    subject = small_subject()
    needs = Needs(subject, CPU)

    def two_steps(model: nn.Module, strategy: Any, batch: Any, *rest: Any) -> None:
        if strategy.name == "offload":
            raise ValueError("it was built wrong\nat length")
        if needs.of(strategy, len(batch[0]), depth_of(model)) > (1 - FRAGMENTS) * MEMORY:
            raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(on_gpu, "two_steps", two_steps)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=2 * MEMORY, name="stand-in")
    )
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2 * MEMORY, 2 * MEMORY))
    return subject


def test_a_plan_is_checked_and_timed(stand_in: Subject) -> None:
    told: list[Progress] = []
    plan = make_plan(
        stand_in, MEMORY, 24, ["stored", "reconstruct", "saved-cast:fp16", "offload"], CPU, tell=told.append
    )
    stored, reconstruct, cast, offload = plan.rooms
    for room in (stored, cast):
        assert 0.9 * room.largest_batch < room.checked_batch < room.largest_batch
        assert 0.8 * room.largest_depth - 1 <= room.checked_depth <= room.largest_depth
        assert room.time_ratio > 0
    assert stored.time_ratio == 1
    assert "no invertible chain" in reconstruct.reason
    assert (offload.reason, offload.largest_batch) == ("a real step fails: ValueError: it was built wrong", None)
    assert plan.untimed == ""
    doing = list(dict.fromkeys(progress.doing for progress in told))
    assert doing == ["beginning", "counting", "checking", "timing"]


def test_steps_are_checked_in_the_arithmetic_of_training(stand_in: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(on_gpu, "use_precision", lambda *given: asked.append(given))
    train = stand_in.train.model_copy(update={"precision": "bfloat16", "cudnn_benchmark": True})
    on_gpu.OnGPU(dataclasses.replace(stand_in, train=train), MEMORY, CPU)
    assert asked == [(PRECISIONS["bfloat16"], True)]


def test_times_that_cannot_be_measured_are_no_end_of_the_plan(
    stand_in: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: Any, **more: Any) -> None:
        raise RuntimeError("no clock")

    monkeypatch.setattr(on_gpu, "measure_cost", fails)
    plan = make_plan(stand_in, MEMORY, 24, ["stored"], CPU)
    assert plan.untimed == "RuntimeError: no clock"
    assert (plan.rooms[0].time_ratio, plan.rooms[0].checked_batch is None) == (None, False)


def test_more_memory_than_the_gpu_has_is_said_before_anything_is_counted(stand_in: Subject) -> None:
    told: list[Progress] = []
    with pytest.raises(UsageError, match="--memory: the GPU has .* GiB, which is less"):
        make_plan(stand_in, 3 * MEMORY, 24, ["stored"], CPU, tell=told.append)
    assert {progress.doing for progress in told} == {"beginning"}


def test_a_gpu_that_others_fill_is_no_verdict_on_a_strategy(stand_in: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def filled(device: torch.device, limit: int) -> Iterator[None]:
        raise UsageError(f"others have all but {limit - 1} bytes")
        yield

    monkeypatch.setattr(on_gpu, "limited", filled)
    with pytest.raises(UsageError, match="^others have all but 799999 bytes$"):
        make_plan(stand_in, MEMORY, 24, ["stored"], CPU)


@pytest.mark.parametrize("said", ["CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"])
def test_what_libraries_say_of_memory_is_no_failure_of_a_strategy(
    stand_in: Subject, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    def two_steps(model: nn.Module, strategy: Any, batch: Any, *rest: Any) -> None:
        if len(batch[0]) > 10 or depth_of(model) > 6:
            raise RuntimeError(said)

    monkeypatch.setattr(on_gpu, "two_steps", two_steps)
    (room,) = make_plan(stand_in, MEMORY, 8, ["stored"], CPU).rooms
    assert (room.reason, room.checked_batch) == ("", 10)


def test_what_is_asked_for_can_be_sent_to_another_process(stand_in: Subject) -> None:
    again = pickle.loads(pickle.dumps(Asked(stand_in, MEMORY, 24, CPU)))
    assert again.needs().of(again.strategy("stored"), 3, 2) == Needs(stand_in, CPU).of(again.strategy("stored"), 3, 2)
