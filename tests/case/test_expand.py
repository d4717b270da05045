"""Cells: every point with every seed, once, with the settings that the file gives it."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from gradbench.case.expand import Cell, count, expand
from gradbench.case.load import load
from gradbench.case.schema import Case

Write = Callable[[str], Path]


def test_every_point_with_every_seed_once_and_in_order(write: Write) -> None:
    rng = random.Random()
    depths = rng.sample(range(1, 100), rng.randint(1, 4))
    slopes = [round(rng.uniform(0.01, 1), 6) for _ in range(3)]
    seeds = rng.randint(1, 4)
    cells = expand(load(write(f"seeds = {seeds}\nmatrix.depth = {depths}\nmatrix.negative_slope = {slopes}")), "mine")
    expected = [(seed, depth, slope) for seed in range(seeds) for depth in depths for slope in slopes]
    assert [(cell.seed, cell.point["depth"], cell.point["negative_slope"]) for cell in cells] == expected
    assert [(cell.seed, cell.settings.model.depth, cell.settings.model.negative_slope) for cell in cells] == expected
    assert {cell.case for cell in cells} == {"mine"}
    assert count(load(write(f"seeds = {seeds}\nmatrix.depth = {depths}"))) == seeds * len(depths)


def test_each_data_set_has_its_own_number_of_classes(write: Write) -> None:
    text = "seeds = 1\n[matrix]\ndata = ['cifar100', 'digits', 'synthetic']\n"
    assert [cell.settings.data.classes for cell in expand(load(write(text)), "mine")] == [100, 10, 10]
    given = "[[override]]\nwhen = { data = 'synthetic' }\nset = { 'data.classes' = 7 }"
    cells = expand(load(write(text + given)), "mine")
    assert [(cell.point["data"], cell.settings.data.classes) for cell in cells] == [
        ("cifar100", 100),
        ("digits", 10),
        ("synthetic", 7),
    ]


def test_a_case_without_a_matrix_has_a_cell_a_seed(write: Write) -> None:
    cells = expand(load(write("seeds = 2")), "mine")
    assert [(cell.point, cell.seed) for cell in cells] == [({}, 0), ({}, 1)]


def test_an_id_is_a_hash_of_settings_and_seed_alone(write: Write) -> None:
    (cell,) = expand(load(write("seeds = 1\nmatrix.depth = [5]")), "mine")
    text = json.dumps({"seed": 0, "settings": cell.settings.model_dump(mode="json")}, sort_keys=True)
    assert cell.id == hashlib.sha256(text.encode()).hexdigest()[:12]
    (other,) = expand(load(write("seeds = 1\n[model]\ndepth = 5")), "another")
    assert other.id == cell.id


def test_ids_differ_wherever_a_setting_or_the_seed_does(write: Write) -> None:
    text = "seeds = 3\nmatrix.depth = [3, 4]\nmatrix.model = ['hybrid', 'layerwise']\nmatrix.train.momentum = [0, 0.5]"
    cells = expand(load(write(text)), "mine")
    assert len({cell.id for cell in cells}) == len(cells) == 24


def test_the_order_of_keys_changes_no_id(write: Write) -> None:
    one = expand(load(write("matrix.depth = [3]\n[train]\nsteps = 2\nmomentum = 0.5")), "mine")
    two = expand(load(write("matrix.depth = [3]\n[train]\nmomentum = 0.5\nsteps = 2")), "mine")
    assert [cell.id for cell in one] == [cell.id for cell in two]


def test_a_whole_number_for_a_real_setting_is_the_same_cell(write: Write) -> None:
    (one,) = expand(load(write("seeds = 1\nmatrix.negative_slope = [1]")), "mine")
    (two,) = expand(load(write("seeds = 1\nmatrix.negative_slope = [1.0]")), "mine")
    assert one == two
    assert isinstance(one.point["negative_slope"], float)


def test_overrides_apply_where_they_match_later_ones_last(write: Write) -> None:
    cells = expand(
        load(
            write("""
seeds = 2
[train]
steps = 9
[matrix]
model = ["layerwise", "hybrid"]
depth = [3, 4, 5]
[[override]]
when = { depth = [4, 5] }
set = { "train.steps" = 1, measure.truth_batches = 7 }
[[override]]
when = { depth = 5, model = "hybrid", seed = 1 }
set = { train = { steps = 2 } }
""")
        ),
        "mine",
    )
    for cell in cells:
        special = cell.point == {"model": "hybrid", "depth": 5} and cell.seed == 1
        touched = cell.point["depth"] in (4, 5)
        assert cell.settings.train.steps == (2 if special else 1 if touched else 9)
        assert cell.settings.measure.truth_batches == (7 if touched else 2)


@pytest.mark.parametrize("wanted", ["true", "false"])
def test_cost_is_measured_once_a_setting(write: Write, wanted: str) -> None:
    cells = expand(load(write(f"seeds = 3\nmatrix.depth = [3, 4]\nmeasure.cost = {wanted}")), "mine")
    measuring = [(cell.seed, cell.point["depth"]) for cell in cells if cell.settings.measure.cost]
    assert measuring == ([(0, 3), (0, 4)] if wanted == "true" else [])


def test_cells_can_be_keys(write: Write) -> None:
    cells = expand(load(write("matrix.depth = [3, 4]")), "mine")
    assert len(set(itertools.chain(cells, cells))) == len(cells)
    assert all(isinstance(cell, Cell) for cell in cells)


def test_what_an_exclusion_matches_is_left_out() -> None:
    case = Case.model_validate(
        {
            "schema": 1,
            "title": "t",
            "seeds": 3,
            "matrix": {"model": ["layerwise", "hybrid"], "depth": [3, 5]},
            "exclude": [{"when": {"depth": 5, "seed": [1, 2]}}, {"when": {"model": "hybrid", "depth": 3}}],
        }
    )
    cells = expand(case, "t")
    found = [(cell.point["model"], cell.point["depth"], cell.seed) for cell in cells]
    assert found == [
        ("layerwise", 3, 0),
        ("layerwise", 5, 0),
        ("hybrid", 5, 0),
        ("layerwise", 3, 1),
        ("layerwise", 3, 2),
    ]
    assert count(case) == len(cells)
