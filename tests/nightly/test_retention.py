"""Which folders a night removes, and which it never touches."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gradbench.history.baselines import accept
from gradbench.nightly.retention import forget

Add = Callable[..., Path]


@pytest.fixture
def add(tmp_path: Path) -> Add:
    """Write a run of a night, the newest of its case, with the cells of its night."""
    count = iter(range(100))

    def write(run: str, night: str | None, torch: str = "2.13.0") -> Path:
        folder = tmp_path / "mine" / run
        folder.mkdir(parents=True)
        environment = {"device": "cpu", "device_name": "a CPU", "torch": torch}
        manifest = {"case": "mine", "profile": None, "night": night, "environment": environment}
        manifest["finished"] = f"2026-01-01T00:00:{next(count):02d}Z"
        (folder / "manifest.json").write_text(json.dumps(manifest))
        (folder / "cells.csv").write_text("cell\n")
        (tmp_path / "mine/latest").write_text(run)
        cells = tmp_path / "mine/.cells" / (night or "")
        cells.mkdir(parents=True, exist_ok=True)
        (cells / f"{'0' * 32}.json").write_text("{}")
        return folder

    return write


def _left(case: Path) -> tuple[list[str], list[str]]:
    """The runs and the nights with cells."""
    runs = sorted(path.parent.name for path in case.glob("*/manifest.json"))
    return runs, sorted(path.name for path in (case / ".cells").iterdir() if path.is_dir())


def test_the_newest_nights_stay(add: Add, tmp_path: Path) -> None:
    for day in (1, 2, 4, 9):  # nights are counted, not days
        add(f"run{day}", f"2026-01-{day:02d}")
    (tmp_path / "mine/history.csv").write_text("night\n")
    gone = forget(tmp_path / "mine", keep=2)
    assert [path.name for path in gone] == ["run1", "run2"]
    assert _left(tmp_path / "mine") == (["run4", "run9"], ["2026-01-04", "2026-01-09"])
    assert (tmp_path / "mine/history.csv").is_file()
    assert (tmp_path / "mine/.cells" / f"{'0' * 32}.json").is_file() is False
    assert forget(tmp_path / "mine", keep=2) == []


def test_baselines_the_newest_run_and_runs_of_no_night_stay(add: Add, tmp_path: Path) -> None:
    accept(add("accepted", "2026-01-01"), "it is right")
    add("mine", None)
    accept(add("accepted-later", "2026-01-02"), "it is right too")
    add("old", "2026-01-03")
    add("other-torch", "2026-01-05", torch="2.9.0")
    add("new", "2026-01-05")
    add("late", "2026-01-03", torch="2.9.0")  # the newest run of all, of an old night
    forget(tmp_path / "mine", keep=1)
    runs, cells = _left(tmp_path / "mine")
    assert runs == ["accepted", "accepted-later", "late", "mine", "new", "other-torch"]
    assert cells == ["2026-01-05"]
    assert (tmp_path / "mine/.cells" / f"{'0' * 32}.json").is_file()  # of the run that no night wrote


def test_of_a_night_that_was_run_twice_the_later_run_stays(add: Add, tmp_path: Path) -> None:
    for run in ("first", "second", "third"):
        add(run, "2026-01-01")
    add("next", "2026-01-02")
    assert [path.name for path in forget(tmp_path / "mine", keep=30)] == ["first", "second"]


def test_what_a_killed_night_left_is_removed(add: Add, tmp_path: Path) -> None:
    add("run", "2026-01-01")
    left = tmp_path / "mine/.removed-run0"
    left.mkdir()
    (left / "manifest.json").write_text("{}")
    assert forget(tmp_path / "mine", keep=1) == []
    assert not left.exists()


def test_a_case_that_never_ran_has_nothing_to_forget(tmp_path: Path) -> None:
    assert forget(tmp_path / "absent", keep=1) == []
