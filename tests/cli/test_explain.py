"""`gradbench explain`: a cell's network once more as it was measured, and which of its layers is to blame."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from gradbench.case.expand import Cell
from gradbench.measure import explain_cell as measured
from gradbench.measure.cell import run_cell
from gradbench.measure.explain import Effect, Explanation, Part
from tests.open_gate import GATE

Call = Callable[..., Result]
CASE = """schema = 1
title = "Mine"
seeds = 1

[matrix]
model = ["hybrid"]
depth = [3, 5]

[model]
width = 4

[data]
name = "synthetic"
image_size = 8
batch_size = 4
classes = 2

[train]
steps = 2
strategies = "none"

[measure]
strategies = ["reconstruct", "checkpoint"]
at = [2]
sgd_batches = 3
truth_batches = 0
cost = false
"""


@pytest.fixture
def small(run: Path) -> Path:
    """A run with a case that can be run, whose tables hold invented numbers."""
    known = json.loads((run / "manifest.json").read_text())
    known |= {"case": "mine", "case_text": CASE, "profile": None, "sets": ["train.momentum=0.5"], "threads": 1}
    (run / "manifest.json").write_text(json.dumps(known), encoding="utf-8")
    return run


def test_a_cell_is_the_same_once_more(call: Call, small: Path) -> None:
    seen: list[Cell] = []
    honest = measured.explain_cell

    def watched(cell: Cell, *arguments) -> Explanation:  # noqa: ANN002
        seen.append(cell)
        return honest(cell, *arguments)

    measured.explain_cell = watched
    try:
        result = call("explain", "c3", "--run", small, "--device", "cpu", "--json")
    finally:
        measured.explain_cell = honest
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["strategy"], found["step"]) == ("reconstruct", 2)
    assert found["sentence"].startswith("No layer is to blame: with reconstruct on the whole model the gradient of ")
    (cell,) = seen
    assert (cell.settings.model.depth, cell.seed, cell.settings.train.momentum) == (3, 0, 0.5)
    rows = run_cell(cell, None, "cpu", GATE, lambda text: None)["gradients"]
    (row,) = (r for r in rows if (r["strategy"], r["parameter"]) == ("reconstruct", found["whole"]["parameter"]))
    assert found["whole"]["rel_error"] == row["rel_error"] > 0
    assert {part["name"] for part in found["parts"]} >= {"chain.block0", "chain.block2"}


def test_the_table_and_the_exit_code_say_what_is_wrong(
    call: Call, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Effect("rounding", "stem.weight", 1e-7, 1e-13, (), (), wrong=False)
    wrong = Effect("harmful", "stem.weight", 0.5, 2.5, (), (), wrong=True)
    moved = Effect("exact", "stem.weight", 0.0, 0.0, (), ("norm.running_mean",), wrong=True)
    parts = (Part("head", "", right, right), Part("block1", "", wrong, wrong), Part("block1.f", "block1", moved, wrong))
    asked = []

    def fake(cell: Cell, device: str, strategy: str, step: int, say: Callable[[str], None]) -> Explanation:
        asked.append((strategy, step))
        return Explanation(strategy, wrong, parts, "block1.f", True)

    monkeypatch.setattr(measured, "explain_cell", fake)
    result = call("explain", "hybrid depth=5 seed=0", "--run", small, "--strategy", "checkpoint", "--step", 1)
    assert result.exit_code == 1
    assert asked == [("checkpoint", 1)]
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["head", *["rounding", "1.0e-07", "1.0e-13"] * 2, "stem.weight"] in rows
    assert [
        "block1.f",
        "buffers",
        "differ",
        "0.0e+00",
        "0.0e+00",
        "harmful",
        "5.0e-01",
        "2.5e+00",
        "stem.weight",
    ] in rows
    assert result.stdout.startswith("block1.f is to blame: with checkpoint on it alone")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["c4"], 2, "no cell 'c4'"),
        (["hybrid depth=4 seed=0"], 2, "did you mean 'hybrid depth=5 seed=0'?"),
        (["c3", "--strategy", "chekpoint"], 2, "did you mean 'checkpoint'?"),
        (["c3", "--step", "3"], 2, "step 3 is not allowed: this cell trains for 2 steps"),
        (["c3", "--strategy", "inplace-abn", "--device", "cuda:7"], 4, "--device cuda:7"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(
    call: Call, small: Path, arguments: list[str], code: int, sentence: str
) -> None:
    result = call("explain", *arguments, "--run", small)
    assert result.exit_code == code
    assert sentence in result.stderr
