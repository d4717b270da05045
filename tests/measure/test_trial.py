"""A strategy that runs the code of others fails alone: planted packages that crash, raise, hang, or are right."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from gradbench.case.expand import Cell
from gradbench.case.load import settings_of
from gradbench.measure import trial
from gradbench.measure.cell import run_cell
from gradbench.measure.trial import Failure, try_step
from gradbench.strategies import STRATEGIES
from tests.open_gate import GATE
from tests.strategies.subjects import subject

SEGFAULT = "import ctypes\nctypes.string_at(0)\n"
RAISES = "raise RuntimeError('planted:\\n  no such symbol')\n"
CRASHES_IN_A_STEP = """
import os, signal
def AdditiveCoupling(f, g, **options): return f
from torch import nn
class InvertibleModuleWrapper(nn.Module):
    def __init__(self, f): super().__init__()
    def forward(self, x): os.kill(os.getpid(), signal.SIGABRT)
"""
RIGHT = """
def AdditiveCoupling(f, g, **options): return f
from torch import nn
def InvertibleModuleWrapper(f): return nn.Identity()
"""
HANGS = "import time\ntime.sleep(60)\n"


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "memcnn", raising=False)
    yield tmp_path / "memcnn.py"
    sys.modules.pop("memcnn", None)


def _try(model: nn.Module | None = None) -> Failure | None:
    batch = (torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 2, 3]))
    return try_step(model or subject("revnet"), STRATEGIES.create("memcnn"), batch)


@pytest.mark.parametrize(("code", "name"), [(SEGFAULT, "SIGSEGV"), (CRASHES_IN_A_STEP, "SIGABRT")])
def test_a_crash_has_the_signals_name(planted: Path, code: str, name: str) -> None:
    planted.write_text(code)
    failure = _try()
    assert failure == ("error", f"killed by {name}: one step was tried in a process of its own, which crashed")


def test_an_exception_is_told_in_one_line_with_its_place(planted: Path) -> None:
    planted.write_text(RAISES)
    assert _try() == ("error", "one step was tried: RuntimeError: planted: no such symbol (memcnn.py:1)")


def test_a_step_that_hangs_is_ended(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_LONGEST_SECONDS", 1)
    planted.write_text(HANGS)
    failure = _try()
    assert failure is not None
    assert failure.reason.endswith("did not end within 1 s")


def test_memory_that_is_not_there_is_a_status_of_its_own(planted: Path) -> None:
    planted.write_text("import torch\nraise torch.OutOfMemoryError('planted')\n")
    assert _try() == ("oom", "one step was tried: planted")


def test_a_step_that_is_made_leaves_everything_as_it_was(planted: Path) -> None:
    planted.write_text(RIGHT)
    model = subject("revnet")
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    state = torch.get_rng_state()
    batch = (torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 1, 2, 3]))
    assert try_step(model, STRATEGIES.create("memcnn"), batch) is None
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in model.named_buffers())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_crash_costs_its_own_row_of_a_cell_alone(planted: Path) -> None:
    planted.write_text(SEGFAULT)
    model = ["model.name=revnet", "model.depth=1", "model.width=4", "model.pooling=['max']"]
    measure = ["measure.strategies=['memcnn', 'checkpoint']", "measure.at=[0]", "measure.sgd_batches=2"]
    rest = ["data.batch_size=4", "data.image_size=8", "measure.truth_batches=1", "measure.cost_repeats=1"]
    cell = Cell(id="0" * 12, case="planted", point={}, seed=0, settings=settings_of([*model, *measure, *rest]))
    rows = {row["strategy"]: row for row in run_cell(cell, None, "cpu", GATE, lambda text: None)["cells"]}
    assert rows["memcnn"]["status"] == "error"
    assert rows["memcnn"]["reason"].startswith("killed by SIGSEGV: ")
    assert rows["checkpoint"]["status"] == "ok"
    assert rows["checkpoint"]["verdict"] == "exact"
