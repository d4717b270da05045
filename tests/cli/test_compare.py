"""`gradbench compare`: what it prints and what it exits with."""

from __future__ import annotations

import json
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest
from click.testing import Result

Call = Callable[..., Result]
HELPERS = runpy.run_path(str(Path(__file__).parents[1] / "report" / "synthetic_run.py"))


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = HELPERS["write_run"](tmp_path_factory.mktemp("synthetic") / "run", depths=(3, 5), slopes=(0.2,))
    return folder


class Runs:
    """The runs `first` and `second` of one case in `out`, the same until one is edited."""

    def __init__(self, out: Path, synthetic: Path) -> None:
        self.out, self.case = out, out / "hybrid-depth-sweep"
        self.case.mkdir(parents=True)
        for number, name in enumerate(("first", "second")):
            shutil.copytree(synthetic, self.case / name)
            self.manifest(name, run=name, finished=f"2026-11-22T0{number}:00:00Z")
        (self.case / "latest").write_text("second\n", encoding="utf-8")

    def manifest(self, name: str, **entries: Any) -> None:
        path = self.case / name / "manifest.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **entries}), encoding="utf-8")

    def edit(self, run: str, table: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
        path = self.case / run / f"{table}.csv"
        frame = pd.read_csv(path, keep_default_na=False, dtype=str)
        change(frame).to_csv(path, index=False)


@pytest.fixture
def runs(tmp_path: Path, synthetic: Path) -> Runs:
    return Runs(tmp_path / "reports", synthetic)


def worse(frame: pd.DataFrame) -> pd.DataFrame:
    rows = (frame["strategy"] == "approximate:4") & (frame["kind"] == "weight")
    frame.loc[rows, "rel_error"] = [f"{1.3 * float(value):.6g}" for value in frame.loc[rows, "rel_error"]]
    return frame


def test_the_same_run_is_identical_and_exits_with_0(call: Call, runs: Runs) -> None:
    result = call("compare", "latest~1", "latest", "--out", runs.out)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Identical: every firm number is the same bit for bit in all ")
    assert result.stdout == call("compare", runs.case / "first", runs.case / "second").stdout
    assert result.stdout == call("compare", "hybrid-depth-sweep/latest~1", "--out", runs.out).stdout


def test_a_regression_exits_with_1(call: Call, runs: Runs) -> None:
    runs.edit("second", "gradients", worse)
    result = call("compare", "latest~1", "latest", "--out", runs.out)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].startswith("1 regression: rel_error of approximate:4: 1.3 times, ")
    assert lines[2] == "Regressions"
    assert "95 % interval 1.3 to 1.3 times, adjusted p" in lines[3]
    assert call("compare", "latest~1", "latest", "--out", runs.out, "--size", "0.5").exit_code == 0
    assert call("compare", "latest~1", "latest", "--out", runs.out, "--rate", "1e-9").exit_code == 0
    assert call("compare", "latest", "latest~1", "--out", runs.out).exit_code == 0


def test_missing_cells_exit_with_3(call: Call, runs: Runs) -> None:
    runs.edit("second", "cells", lambda frame: frame[frame["seed"] != "2"])
    result = call("compare", "latest~1", "latest", "--out", runs.out)
    assert result.exit_code == 3
    assert "that the base has are missing" in result.stdout.splitlines()[0]
    assert "Missing" in result.stdout.splitlines()
    assert "  and " in result.stdout


def test_runs_of_different_cases_exit_with_2(call: Call, runs: Runs) -> None:
    runs.manifest("second", case="another")
    result = call("compare", runs.case / "first", runs.case / "second")
    assert result.exit_code == 2
    assert "a run of another" in result.stderr
    assert call("compare", "nowhere", runs.case / "second").exit_code == 2
    assert call("compare", "latest~1", "--out", runs.out, "--rate", "0").exit_code == 2


def test_times_are_judged_if_asked(call: Call, runs: Runs) -> None:
    def slower(frame: pd.DataFrame) -> pd.DataFrame:
        rows = (frame["strategy"] == "checkpoint") & (frame["step_seconds"] != "")
        frame.loc[rows, "step_seconds"] = [str(3 * float(value)) for value in frame.loc[rows, "step_seconds"]]
        return frame

    runs.edit("second", "cells", slower)
    told = call("compare", "latest~1", "latest", "--out", runs.out)
    assert told.exit_code == 0
    assert "Told, not judged\n  step_seconds of checkpoint: 3 times" in told.stdout
    assert call("compare", "latest~1", "latest", "--out", runs.out, "--timings").exit_code == 1


def test_the_baseline_is_that_of_the_new_run(call: Call, runs: Runs) -> None:
    assert call("baseline", "accept", runs.case / "first", "--reason", "it is right", "--out", runs.out).exit_code == 0
    runs.edit("second", "gradients", worse)
    result = call("compare", "baseline", "--out", runs.out)
    assert result.exit_code == 1, result.output
    assert f"base      {runs.case / 'first'}" in result.stdout


def test_every_format_says_the_same(call: Call, runs: Runs, tmp_path: Path) -> None:
    runs.edit("second", "gradients", worse)
    runs.edit("second", "cells", lambda frame: frame[frame["seed"] != "2"])
    printed = {
        form: call("compare", "latest~1", "--out", runs.out, "--format", form) for form in ("json", "markdown", "junit")
    }
    assert {result.exit_code for result in printed.values()} == {1}
    document = json.loads(printed["json"].stdout)
    assert document["exit_code"] == 1
    assert document["findings"][0]["check"] == "rel_error"
    assert len(document["coverage"]["missing"]) > 8
    assert document["sentence"].startswith("1 regression: rel_error of approximate:4: 1.3 times")
    assert printed["markdown"].stdout.startswith("**1 regression: rel\\_error of approximate:4: 1.3 times")
    suite = ElementTree.fromstring(printed["junit"].stdout)[0]
    assert (suite.get("failures"), suite.get("errors")) == ("1", str(len(document["coverage"]["missing"])))
    for form, result in printed.items():
        path = tmp_path / f"comparison.{form}"
        kept = call("compare", "latest~1", "--out", runs.out, "--format", form, "--output", path)
        assert kept.exit_code == 1
        assert path.read_text(encoding="utf-8") == result.stdout
        assert kept.stdout == f"{document['sentence']}\n{path}\n"
