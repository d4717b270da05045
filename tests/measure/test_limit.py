"""What fits into a memory limit, against real steps whose storages are followed; that of a GPU on a planted one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from gradbench.case.expand import Cell, expand
from gradbench.case.load import load
from gradbench.case.sizes import read_size, written_size
from gradbench.errors import UsageError
from gradbench.measure.cell import prepare, run_cell
from gradbench.measure.limit import Room, limited
from gradbench.measure.memory import step_memory
from gradbench.measure.step import forward_passes, take_step
from gradbench.measure.training import make_optimizer
from gradbench.strategies.stored import Stored
from tests.open_gate import GATE

CASE = """
schema = 1
title = "within a memory"
seeds = 1
model = { name = "hybrid", depth = 1, width = 4, pooling = ["channel"] }
data = { name = "digits", batch_size = 40, image_size = 8 }
train = { steps = 2, memory_limit = "600kB" }

[measure]
strategies = ["reconstruct", "accumulate:2"]
sgd_batches = 2
truth_batches = 0
activations = false
"""


def the_cell(folder: Path, *sets: str) -> Cell:
    path = folder / "limited.toml"
    path.write_text(CASE)
    (cell,) = expand(load(path, sets=sets), "limited")
    return cell


def taken(work: Any, strategy: Any, count: int) -> int:
    """Return the bytes of a real training step on `count` images, the whole data set beside it."""
    model, data = work.model().train(), work.dataset
    optimizer = make_optimizer(model, work.settings.train)
    x, y = data.x_train[:count].float(), data.y_train[:count]
    take_step(model, strategy, (x, y))
    optimizer.step()
    with strategy.applied_to(model):
        peak = step_memory(model, [x, y], *forward_passes(model, strategy, (x, y))).peak
    state = sum(t.nbytes for held in optimizer.state.values() for t in held.values() if isinstance(t, torch.Tensor))
    images = [data.x_train, data.y_train, data.x_test, data.y_test, data.mean, data.std]
    return peak + state + sum(t.nbytes for t in (*model.parameters(), *model.buffers(), x, y, *images))


@pytest.mark.parametrize("strategy", ["stored", "accumulate:2"])
def test_the_planned_batch_fits_and_one_more_image_does_not(tmp_path: Path, strategy: str) -> None:
    work = prepare(the_cell(tmp_path), torch.device("cpu"))
    chosen = work.strategies[strategy]
    fit = Room(work.settings, work.dataset, work.device).of(chosen, work.model, work.batches.batch(0))
    assert fit.planned_batch is not None
    step = 2 if strategy.startswith("accumulate") else 1  # parts grow one at a time
    assert taken(work, chosen, fit.planned_batch) <= 600_000 < taken(work, chosen, fit.planned_batch + step)
    assert bool(fit.over) == (fit.planned_batch < 40)


def test_what_does_not_fit_trains_no_network_and_the_others_are_measured(tmp_path: Path) -> None:
    found = run_cell(the_cell(tmp_path), None, "cpu", GATE, say=lambda text: None)
    rows = {row["strategy"]: row for row in found["cells"]}
    assert {name: row["status"] for name, row in rows.items()} == {
        "stored": "excluded",
        "reconstruct": "ok",
        "accumulate:2": "ok",
    }
    assert "a step on 40 images would take" in rows["stored"]["reason"]
    assert "train.memory_limit, 600 kB; a batch of" in rows["stored"]["reason"]
    assert rows["stored"]["planned_batch"] < 40 <= rows["reconstruct"]["planned_batch"]
    assert {row["strategy"] for row in found["training"]} == {"reconstruct", "accumulate:2"}
    assert {row["strategy"] for row in found["gradients"]} == {"reconstruct", "accumulate:2"}
    assert "train_seconds" not in rows["stored"]
    assert 0 < rows["reconstruct"]["train_seconds"] < rows["reconstruct"]["wall_seconds"]
    assert rows["stored"]["peak_bytes"] > rows["reconstruct"]["peak_bytes"]


def test_a_cell_without_a_limit_plans_nothing(tmp_path: Path) -> None:
    cell = the_cell(tmp_path, "train.memory_limit=900000000", "measure.cost=false", "measure.state=false")
    assert cell.settings.train.memory_limit == 900_000_000
    free = cell.settings.model_copy(update={"train": cell.settings.train.model_copy(update={"memory_limit": None})})
    found = run_cell(Cell(cell.id, cell.case, cell.point, 0, free), None, "cpu", GATE, say=lambda text: None)
    assert not any("planned_batch" in row for row in found["cells"])


def test_sizes_are_read_as_people_write_them(tmp_path: Path) -> None:
    assert the_cell(tmp_path, "train.memory_limit=1GiB").settings.train.memory_limit == 2**30
    assert [read_size(text) for text in ("1GB", "0.5 kib", "12", "0", "1 TB", "-1GB")] == [
        10**9,
        512,
        12,
        None,
        None,
        None,
    ]
    assert [written_size(size) for size in (1e9, 218_103_808, 999)] == ["1 GB", "218.1 MB", "999 B"]
    for wrong in ("1 TB", "0", "-5"):
        with pytest.raises(UsageError, match="memory_limit"):
            the_cell(tmp_path, f"train.memory_limit={wrong}")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Return what a stand-in for a GPU of 8 GB says: the share that may be had, the bytes free, and those reserved."""
    state = {"share": 1.0, "free": 7 * 10**9, "reserved": 10**9}
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda device: state["share"])
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda one, device: state.update(share=one))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=8 * 10**9))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (state["free"], 8 * 10**9))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: state["reserved"])
    return state


def test_the_limit_of_a_gpu_is_a_share_of_it_lifted_inside_and_restored_after(gpu: dict[str, float]) -> None:
    device = torch.device("cuda")
    with limited(device, 10**9):
        assert gpu["share"] == 0.125
        with limited(device, None):
            assert gpu["share"] == 1.0
        assert gpu["share"] == 0.125
    assert gpu["share"] == 1.0


def test_a_limit_that_the_gpu_has_no_longer_is_refused_and_nothing_is_set(gpu: dict[str, float]) -> None:
    device = torch.device("cuda")
    with limited(device, 8 * 10**9):  # all of it: what this process holds counts as left
        assert gpu["share"] == 1.0
    gpu["free"] = 10**9
    refusal = "^2 GB of the GPU are left, less than the 2.5 GB that training may take: others have the rest$"
    with limited(device, 10**9):
        with pytest.raises(UsageError, match=refusal), limited(device, 2_500_000_000):
            raise AssertionError
        assert gpu["share"] == 0.125
        with limited(device, None):  # for which nothing need be left
            assert gpu["share"] == 1.0


class _Asks(Stored):
    """A strategy whose forward pass asks for a value, which a tensor without values does not have."""

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        hook = model.register_forward_pre_hook(lambda module, inputs: inputs[0].sum().item() and None)
        yield
        hook.remove()


def test_what_no_plan_can_count_is_said_and_loses_no_cell(tmp_path: Path) -> None:
    work = prepare(the_cell(tmp_path), torch.device("cpu"))
    fit = Room(work.settings, work.dataset, work.device).of(_Asks(), work.model, work.batches.batch(0))
    assert (fit.planned_batch, fit.over) == (None, "")
    assert fit.untold.startswith("no plan counts what fits: DataDependentOutputException")


def test_a_gpu_whose_memory_others_have_is_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpu: dict[str, float]
) -> None:
    work = prepare(the_cell(tmp_path), torch.device("cpu"))
    room = Room(work.settings, work.dataset, work.device)
    monkeypatch.setattr(room, "_device", torch.device("cuda"))
    gpu.update(free=100_000, reserved=50_000)
    with pytest.raises(UsageError, match="150 kB of the GPU are left, less than the 600 kB that training may take"):
        room.of(work.reference, work.model, work.batches.batch(0))
