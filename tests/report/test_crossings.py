"""A run over depth at one slope, and over slopes at one depth: a figure along each, and every cell in one of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from gradbench.analysis.summary import summarise_run
from gradbench.analysis.tables import Run, read_run
from gradbench.report import figures as figures_module
from gradbench.report.build import build
from gradbench.report.figure import Figure, Scene
from gradbench.report.figures import figures
from gradbench.report.palette import Palette

_CROSSED = ("errors", "snr", "accuracy")


def _on_a_curve(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["negative_slope"] == 0.2) | (table["depth"] == 5)]


@pytest.fixture
def crossed(make_run: Callable[..., Path]) -> Path:
    """A run of two sweeps that cross at depth 5 and slope 0.2."""
    folder = make_run(slopes=(0.05, 0.1, 0.2), seeds=2)
    for path in folder.glob("*.csv"):
        table = pd.read_csv(path)
        if "depth" in table:
            _on_a_curve(table).to_csv(path, index=False)
    return folder


def _figures(run: Run) -> list[Figure]:
    return figures(run, Scene(summarise_run(run).axes, Palette.of(run.tables["cells"]["strategy"].unique())))


def _places(figure: Figure, held: dict[str, float]) -> set[tuple[object, ...]]:
    """Panel, strategy, depth and slope of what a figure shows."""
    (along,) = {"depth", "negative_slope"} - set(held)
    rows = next(iter(figure.data.values())).to_dict("records")
    places = [{**held, along: row["x"]} for row in rows]
    return {(row["g"], row["s"], at["depth"], at["negative_slope"]) for row, at in zip(rows, places, strict=True)}


def test_every_cell_is_on_one_of_the_figures(crossed: Path) -> None:
    run = read_run(crossed)
    shown = {figure.id: figure for figure in _figures(run)}
    cells = run.tables["cells"]
    for name, column in (("errors", "noise_ratio"), ("accuracy", "accuracy")):
        main, crossing = shown[name], shown[f"{name}-negative_slope"]
        found = set()
        for figure, held in ((main, {"negative_slope": 0.2}), (crossing, {"depth": 5})):
            assert not [control for control in figure.controls if control.name != "variant"]
            found |= _places(figure, held)
        there = cells[cells[column].notna() & (cells["strategy"] != ("stored" if name == "errors" else ""))]
        wanted = set(there[["model", "strategy", "depth", "negative_slope"]].itertuples(index=False, name=None))
        assert wanted <= found


def test_both_figures_of_a_crossing_have_names_of_their_own(crossed: Path) -> None:
    shown = _figures(read_run(crossed))
    ids = [figure.id for figure in shown]
    assert len(ids) == len(set(ids))
    for name in _CROSSED:
        assert ids.index(f"{name}-negative_slope") == ids.index(name) + 1
    data = [name for figure in shown for name in figure.data]
    assert len(data) == len(set(data))


def test_figures_that_answer_come_first_with_their_crossings(crossed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures_module, "answering", lambda run: [{"value": {"column": "accuracy"}}])
    assert [figure.id for figure in _figures(read_run(crossed))][:2] == ["accuracy", "accuracy-negative_slope"]


def test_a_crossing_without_anything_has_no_figure(crossed: Path) -> None:
    run = read_run(crossed)
    cells = run.tables["cells"]
    untrained = cells.assign(accuracy=cells["accuracy"].where(cells["negative_slope"] == 0.2))
    untrained.loc[untrained["depth"] == 5, "accuracy"] = float("nan")
    ids = [figure.id for figure in _figures(replace(run, tables=run.tables | {"cells": untrained}))]
    assert "accuracy" in ids
    assert "accuracy-negative_slope" not in ids


def test_the_way_through_the_page_names_each_question_once(crossed: Path) -> None:
    build(crossed)
    page = (crossed / "report.html").read_text(encoding="utf-8")
    (nav,) = re.findall("<nav.*?</nav>", page, re.DOTALL)
    links = re.findall('href="#([^"]+)"', nav)
    assert set(_CROSSED) <= set(links)
    assert not [link for link in links if link.endswith("-negative_slope")]
    for name in _CROSSED:
        assert f'id="{name}-negative_slope"' in page
