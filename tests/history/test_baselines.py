"""What is accepted as a baseline, what is refused, and which one counts."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from gradbench.errors import UsageError
from gradbench.history.baselines import FILE, accept, baseline_of, baselines

if TYPE_CHECKING:
    from conftest import Reports


def test_the_newest_baseline_of_a_series_counts_and_all_are_kept(reports: Reports) -> None:
    first, other = reports.add("1"), reports.add("2", torch="2.9.0")
    for folder, reason in ((first, "a"), (other, "b"), (reports.add("3"), "  c,\n at last ")):
        accept(folder, reason)
    kept = baselines(reports.out / "mine")
    assert [(one.run, one.reason, one.where) for one in kept] == [
        ("1", "a", "torch 2.13.0, a CPU, threads 1"),
        ("2", "b", "torch 2.9.0, a CPU, threads 1"),
        ("3", "c, at last", "torch 2.13.0, a CPU, threads 1"),
    ]
    assert baseline_of(reports.add("4")).name == "3"
    assert baseline_of(reports.add("5", torch="2.9.0")).name == "2"
    with pytest.raises(
        UsageError, match=r"no baseline was accepted for .* \(3 for other profiles, sets or environment"
    ):
        baseline_of(reports.add("6", threads=2))


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_a_reason_is_required(reports: Reports, reason: str) -> None:
    with pytest.raises(UsageError, match="--reason"):
        accept(reports.add("1"), reason)
    assert not (reports.out / "mine" / FILE).exists()


def test_an_incomplete_run_is_refused_unless_asked_for(reports: Reports) -> None:
    run = reports.add("1", state="incomplete", cells_by_status={"ok": 5, "oom": 1})
    with pytest.raises(UsageError, match=r"the run is incomplete \(5 ok, 1 oom\); --incomplete accepts it"):
        accept(run, "it never fits")
    assert accept(run, "it never fits", incomplete=True).state == "incomplete"
    assert baseline_of(run) == run


def test_a_run_apart_from_those_of_its_case_is_refused(reports: Reports) -> None:
    run = reports.add("mine", case="reference")
    text = (run / "manifest.json").read_text().replace('"reference"', '"mine"')
    (run / "manifest.json").write_text(text)
    with pytest.raises(UsageError, match=r"copy it into .*/reports/mine/ first"):
        accept(run, "it is right")


def test_a_baseline_that_is_gone_is_said(reports: Reports) -> None:
    run, next_run = reports.add("1"), reports.add("2")
    accept(run, "it is right")
    shutil.rmtree(run)
    with pytest.raises(UsageError, match=r"mine/1: the baseline accepted on .* is gone; accept another run"):
        baseline_of(next_run)


@pytest.mark.parametrize("text", ["{", "[]", '{"baselines": [{"run": "1"}]}'])
def test_a_damaged_file_is_said(reports: Reports, text: str) -> None:
    run = reports.add("1")
    (reports.out / "mine" / FILE).write_text(text)
    with pytest.raises(UsageError, match=r"baselines.json: damaged"):
        accept(run, "it is right")
    assert (reports.out / "mine" / FILE).read_text() == text


def test_the_file_can_be_read_by_others(reports: Reports) -> None:
    accept(reports.add("1", sets=["seeds=2"]), "it is right")
    entry = json.loads((reports.out / "mine" / FILE).read_text())["baselines"][0]
    assert entry["run"] == "1"
    assert entry["series"]["case"] == "mine"
    assert entry["series"]["sets"] == ["seeds=2"]
