"""Which trainings diverged is said with their settings, and nothing of what was not trained."""

from __future__ import annotations

import itertools
from pathlib import Path

import pandas as pd

from gradbench.analysis.divergence import diverged_trainings
from gradbench.analysis.tables import Run


def run(diverged: set[tuple[int, float, int, str]], untrained: str = "") -> Run:
    rows = []
    for depth, slope, seed, strategy in itertools.product((3, 8, 12), (0.05, 0.2), (0, 1), ("stored", "a", "b")):
        lost = (depth, slope, seed, strategy) in diverged
        lead = {"cell": f"{depth} {slope} {seed}", "depth": depth, "negative_slope": slope, "seed": seed}
        status, accuracy = ("diverged", float("nan")) if lost else ("ok", 0.5)
        seconds = float("nan") if strategy == untrained else 1.0
        rows.append(lead | {"strategy": strategy, "status": status, "accuracy": accuracy, "train_seconds": seconds})
    return Run(Path(), {}, ("depth", "negative_slope"), {"cells": pd.DataFrame(rows)})


def test_nothing_is_said_where_none_diverged() -> None:
    assert diverged_trainings(run(set())) == ()


def test_settings_are_named_once_for_all_seeds() -> None:
    found = diverged_trainings(run({(8, 0.2, 0, "a"), (8, 0.2, 1, "a"), (12, 0.05, 1, "a"), (3, 0.2, 0, "b")}))
    assert found == (
        "3 of 12 trainings with a diverged: depth 8, negative slope 0.2; depth 12, negative slope 0.05.",
        "1 of 12 trainings with b diverged: depth 3, negative slope 0.2.",
    )


def test_what_was_not_trained_did_not_diverge() -> None:
    assert diverged_trainings(run({(8, 0.2, 0, "a")}, untrained="a")) == ()


def test_many_settings_are_counted() -> None:
    everything = {(depth, slope, seed, "b") for depth in (3, 8, 12) for slope in (0.05, 0.2) for seed in (0, 1)}
    (sentence,) = diverged_trainings(run(everything))
    assert sentence.startswith("12 of 12 trainings with b diverged: depth 3, negative slope 0.05; ")
    assert sentence.endswith("; 2 more settings.")
