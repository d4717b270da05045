"""A cell whose process ends early goes on from its last phase, and finds what it would have found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gradbench.case.expand import Cell, expand
from gradbench.case.load import load
from gradbench.measure.cell import run_cell
from tests.open_gate import GATE

CASE = """
schema = 1
title = "begun"
seeds = 1
model = { name = "hybrid", depth = 1, width = 4, pooling = ["channel"] }
data = { name = "digits", batch_size = 16, image_size = 8 }
train = { steps = 2, evaluate_images = 20 }

[measure]
strategies = ["stochastic:2", "reconstruct"]
at = [0, 2]
sgd_batches = 2
truth_batches = 1
cost_repeats = 1
"""
PHASES = (
    "time and memory",
    "training with stored activations",
    "training with stochastic:2",
    "training with reconstruct",
)


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Cell:
    path = tmp_path_factory.mktemp("begun") / "begun.toml"
    path.write_text(CASE)
    (cell,) = expand(load(path), "begun")
    return cell


class Killed(BaseException):
    """What no part of a cell catches."""


def run(cell: Cell, begun: Path | None, until: str = "") -> tuple[dict[str, list[dict[str, Any]]], list[str]]:
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        if text == until:
            raise Killed

    return run_cell(cell, begun, "cpu", GATE, say), [text for text in said if text in PHASES]


def numbers(tables: dict[str, list[dict[str, Any]]]) -> str:
    """What must be the same every time: all but times."""
    rows = {
        name: [
            {key: value for key, value in row.items() if not key.endswith(("seconds", "_share", "time_ratio"))}
            for row in table
        ]
        for name, table in tables.items()
    }
    return json.dumps(rows, default=lambda value: value.item())


@pytest.mark.parametrize("place", [1, 2, 3])
def test_what_was_found_is_kept_and_the_rest_is_found_the_same(cell: Cell, tmp_path: Path, place: int) -> None:
    whole, said = run(cell, None)
    assert said == list(PHASES)
    begun = tmp_path / "cell.begun"
    with pytest.raises(Killed):
        run(cell, begun, until=PHASES[place])
    again, said = run(cell, begun)
    assert said == list(PHASES[place:])
    assert numbers(again) == numbers(whole)
    kept = json.loads(begun.read_text())
    for row in again["cells"]:
        assert row["wall_seconds"] > kept["seconds"] > 0
        assert 0 < row["measuring_share"] <= 1


def test_a_damaged_file_is_no_beginning(cell: Cell, tmp_path: Path) -> None:
    begun = tmp_path / "cell.begun"
    begun.write_text('{"phases": ["cost"')
    assert run(cell, begun)[1] == list(PHASES)
