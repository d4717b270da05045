"""What the page's script knows of a cell is what the tables say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from gradbench.analysis.tables import Run, read_run
from gradbench.report import cells
from gradbench.report.cells import packed_cells


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return read_run(folder)


def unpacked(columns: dict[str, Any]) -> list[dict[str, Any]]:
    lists = {
        name: [None if code < 0 else column["levels"][code] for code in column["codes"]]
        if isinstance(column, dict)
        else column
        for name, column in columns.items()
    }
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


def test_every_measurement_is_there_with_its_reason(run: Run) -> None:
    rows = unpacked(packed_cells(run, "")["rows"])
    for row, expected in zip(rows, run.tables["cells"].to_dict("records"), strict=True):
        assert [row[name] for name in ("cell", "strategy", "status")] == [
            expected[name] for name in ("cell", "strategy", "status")
        ]
        assert (row["reason"] or "") == expected["reason"]
        if not pd.isna(expected["rel_error"]):
            assert row["rel_error"] == pytest.approx(expected["rel_error"], rel=6e-3)


def test_every_weight_tensor_of_every_cell_is_there(run: Run) -> None:
    gradients = run.tables["gradients"]
    weights = gradients[(gradients["kind"] == "weight") & (gradients["strategy"] != "stored")]
    rows = unpacked(packed_cells(run, "")["gradients"])
    assert len(rows) == len(weights)
    for row, expected in zip(rows, weights.to_dict("records"), strict=True):
        assert (row["cell"], row["name"], row["v"]) == (expected["cell"], expected["parameter"], expected["verdict"])
        if expected["noise_ratio"] == expected["noise_ratio"]:
            assert row["y"] == pytest.approx(expected["noise_ratio"], rel=6e-2)


def test_infinite_is_not_absent(run: Run) -> None:
    levels = {row["y"] for row in unpacked(packed_cells(run, "")["activations"])}
    assert "inf" in levels


def test_too_many_layers_are_left_to_the_files(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "_MOST_ROWS", 10)
    packed = packed_cells(run, "")
    assert packed["gradients"] is None
    assert "gradients.csv" in packed["note"]


@pytest.mark.parametrize(
    ("command", "alone"),
    [
        ("gradbench run --case x --set 'a=[1, 2]'", "gradbench run --case x --set 'a=[1, 2]'"),
        ("gradbench run --case x --cell 'a b' --cell c --jobs 2", "gradbench run --case x --jobs 2"),
        ("", ""),
    ],
)
def test_a_cell_is_run_alone_whatever_the_run_chose(run: Run, command: str, alone: str) -> None:
    assert packed_cells(run, command)["command"] == alone
