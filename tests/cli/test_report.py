"""`gradbench report` rebuilds the report of the run that is meant, and prints where it is."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Call = Callable[..., Result]


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that a report was asked for."""
    seen: list[Path] = []

    def build_report(folder: Path) -> Path:
        seen.append(folder)
        return folder / "report.html"

    monkeypatch.setattr(importlib.import_module("gradbench.report.build"), "build", build_report)
    return seen


def test_a_folder_and_the_latest_run(call: Call, run: Path, built: list[Path]) -> None:
    for arguments in ([run], ["latest", "--out", run.parent.parent], ["mine/latest", "--out", run.parent.parent]):
        result = call("report", *arguments)
        assert (result.exit_code, result.stdout) == (0, f"{run / 'report.html'}\n")
    assert built == [run] * 3


def test_what_is_no_run(call: Call, built: list[Path], tmp_path: Path) -> None:
    for word in (tmp_path / "nothing", tmp_path, "latest"):
        result = call("report", word, "--out", tmp_path)
        assert result.exit_code == 2
        assert "run" in result.stderr
    assert built == []


def test_no_run_named(call: Call) -> None:
    assert call("report").exit_code == 2


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, list[str]]]:
    """The folders and formats that figures were asked for."""
    seen: list[tuple[Path, list[str]]] = []

    def write_figures(run: object, folder: Path, formats: list[str]) -> list[Path]:
        seen.append((folder, formats))
        return [folder / "a.svg"]

    export = importlib.import_module("gradbench.report.export")
    monkeypatch.setattr(export, "write_figures", write_figures)
    monkeypatch.setattr(importlib.import_module("gradbench.analysis.tables"), "read_run", lambda folder: folder)
    return seen


def test_figures_beside_the_report(
    call: Call, run: Path, built: list[Path], saved: list[tuple[Path, list[str]]], tmp_path: Path
) -> None:
    result = call("report", run, "--figures")
    assert (result.exit_code, result.stdout) == (0, f"{run / 'report.html'}\n1 files in {run / 'figures'}\n")
    call("report", run, "--figures", "pdf,svg", "--figures-dir", tmp_path / "paper")
    assert saved == [(run / "figures", ["svg", "png", "pdf"]), (tmp_path / "paper", ["pdf", "svg"])]
    assert built == [run, run]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--figures", "jpg"], "--figures jpg: allowed are svg, png, pdf"),
        (["--figures-dir", "paper"], "--figures-dir goes with --figures"),
    ],
)
def test_wrong_figures_are_refused_before_anything_is_built(
    call: Call, run: Path, built: list[Path], options: list[str], sentence: str
) -> None:
    result = call("report", run, *options)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert built == []
