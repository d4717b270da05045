"""Synthetic runs to build reports from."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gradbench.analysis.summary import summarise_run
from gradbench.analysis.tables import read_run
from gradbench.report.build import build
from gradbench.report.figure import Figure, Scene
from gradbench.report.figures import figures
from gradbench.report.palette import Palette

_write_run: Callable[..., Path] = runpy.run_path(str(Path(__file__).with_name("synthetic_run.py")))["write_run"]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run with failures, infinite numbers and hostile names, its report built."""
    run = _write_run(tmp_path_factory.mktemp("runs") / "run", compress=True)
    build(run)
    return run


@pytest.fixture(scope="session")
def page(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Write another synthetic run."""

    def make(**settings: Any) -> Path:
        return _write_run(tmp_path / "other", **settings)

    return make


@pytest.fixture(scope="session")
def write_run() -> Callable[..., Path]:
    """Write a synthetic run into a folder."""
    return _write_run


@pytest.fixture(scope="session")
def shown(folder: Path) -> dict[str, Figure]:
    """The figures of the small run by their ids."""
    run = read_run(folder)
    scene = Scene(summarise_run(run).axes, Palette.of(run.tables["cells"]["strategy"].unique()))
    return {figure.id: figure for figure in figures(run, scene)}
