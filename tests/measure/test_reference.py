"""What gradients are held against: another reference than stored training is not judged, and is named."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from gradbench.analysis.held_against import held_against
from gradbench.analysis.settings import by_setting
from gradbench.analysis.tables import Run, typed
from gradbench.case.expand import expand
from gradbench.case.load import load
from gradbench.case.schema import Model
from gradbench.errors import EnvironmentError, UsageError
from gradbench.measure.cell import run_cell
from gradbench.measure.explain_cell import explain_cell
from gradbench.measure.gradients import measure_gradients
from gradbench.measure.verdict import verdict
from gradbench.models.build import build
from gradbench.strategies import STRATEGIES
from tests.models.networks import images, network
from tests.open_gate import GATE

CASE = """
schema = 1
title = "held against"
seeds = 1
model = { name = "hybrid", depth = 2, width = 4, pooling = ["channel"] }
data = { name = "digits", batch_size = 16, image_size = 8 }
train = { steps = 1, strategies = "none" }

[measure]
strategies = ["stored", "checkpoint", "accumulate:2"]
sgd_batches = 3
cost = false
activations = false
"""


def tables(folder: Path, *sets: str) -> dict[str, list[dict[str, Any]]]:
    path = folder / "held.toml"
    path.write_text(CASE)
    (cell,) = expand(load(path, sets=sets), "held")
    return run_cell(cell, None, "cpu", GATE, say=lambda text: None)


def test_others_are_held_against_the_reference_and_it_is_not_judged(tmp_path: Path) -> None:
    found = tables(tmp_path, "measure.reference=checkpoint")
    rows = {row["strategy"]: row for row in found["cells"]}
    assert {row["reference"] for row in rows.values()} == {"checkpoint"}
    assert {row["strategy"] for row in found["gradients"]} == {"stored", "accumulate:2"}
    assert {row["strategy"] for row in found["state"]} == {"stored", "accumulate:2"}
    assert "verdict" not in rows["checkpoint"]
    assert rows["stored"]["verdict"] == "exact"
    assert rows["accumulate:2"]["rel_error"] > 0.01
    model = build(Model(name="hybrid", depth=2, width=4, pooling=("channel",)), classes=10, image_size=8)
    assert {row["parameter_count"] for row in rows.values()} == {sum(p.numel() for p in model.parameters())}
    counted = {name: row["counted_bytes_per_pixel"] is not None for name, row in rows.items()}
    assert counted == {"checkpoint": False, "stored": True, "accumulate:2": False}


def test_the_numbers_are_those_of_an_exact_reference(tmp_path: Path) -> None:
    errors = []
    for reference in ("stored", "checkpoint"):
        rows = tables(tmp_path, f"measure.reference={reference}")["gradients"]
        errors.append([row["rel_error"] for row in rows if row["strategy"] == "accumulate:2"])
    assert errors[0] == errors[1]


def test_what_is_held_against_is_said() -> None:
    frames = []
    for batch, reference in ((16, "stored"), (64, "reconstruct")):
        for strategy in (reference, "accumulate:2"):
            row = {"strategy": strategy, "reference": reference, "status": "ok", "verdict": "harmful"}
            frames.append(typed("cells", [row]).assign(cell=str(batch), batch_size=batch, depth=3, seed=0))
    cells = pd.concat(frames, ignore_index=True)
    run = Run(folder=None, manifest={}, axes=("batch_size", "depth"), tables={"cells": cells})  # type: ignore[arg-type]
    assert held_against(run) == (
        "At batch size 64, gradients are held against those of reconstruct, not of stored training: reconstruct itself "
        "is not judged there.",
    )
    judged = by_setting(cells, ("batch_size",)).query("judged")
    assert list(judged["strategy"]) == ["accumulate:2", "accumulate:2"]


def test_the_activations_of_another_reference_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"measure\.activations compares with stored activations"):
        tables(tmp_path, "measure.reference=checkpoint", "measure.activations=true")


def test_one_minibatch_has_errors_and_no_noise() -> None:
    model, (x,) = network(name="hybrid", depth=2, width=4, pooling=["channel"]), images(8, dtype=torch.float32)
    y = torch.arange(8) % 5
    strategies = [STRATEGIES.create(name) for name in ("stored", "accumulate:2")]
    found = measure_gradients(model, strategies[0], strategies, [(x, y)], 1)
    parts = [
        torch.autograd.grad(F.cross_entropy(model(x[i : i + 4]), y[i : i + 4]), list(model.parameters()))
        for i in (0, 4)
    ]
    whole = torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))
    for errors, a, b, g in zip(found["accumulate:2"].gradients, *parts, whole, strict=True):
        assert errors.rel_error == pytest.approx(float(((a + b) / 2 - g).norm() / g.norm()), rel=1e-3)
        assert math.isnan(errors.sgd_variance)
        assert math.isnan(errors.noise_high)
        assert verdict(errors) == "unresolved"
    assert {verdict(errors) for errors in found["stored"].gradients} == {"exact"}


def test_a_case_of_one_minibatch_leaves_what_needs_two_empty(tmp_path: Path) -> None:
    found = tables(tmp_path, "measure.sgd_batches=1")
    rows = {row["strategy"]: row for row in found["cells"]}
    assert (rows["accumulate:2"]["verdict"], rows["checkpoint"]["verdict"]) == ("unresolved", "exact")
    assert rows["accumulate:2"]["noise_ratio"] is None
    assert rows["accumulate:2"]["rel_error"] > 0.01
    assert {row["noise_ratio"] for row in found["gradients"]} == {None}


def test_without_its_reference_nothing_of_a_cell_is_ok(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradbench.strategies.adapters.adapter.find_spec", lambda package: None)
    found = tables(tmp_path, "measure.reference=memcnn")
    rows = {row["strategy"]: row for row in found["cells"]}
    assert {row["status"] for row in rows.values()} == {"excluded"}
    missing = "memcnn is not installed: pip install memcnn"
    assert rows["memcnn"]["reason"] == missing
    assert rows["stored"]["reason"] == rows["checkpoint"]["reason"] == f"memcnn, which it is held against: {missing}"
    (cell,) = expand(load(tmp_path / "held.toml", sets=["measure.reference=memcnn"]), "held")
    with pytest.raises(EnvironmentError, match="memcnn, the cell's reference: memcnn is not installed"):
        explain_cell(cell, "cpu", "checkpoint", 0)
