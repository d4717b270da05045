"""Whole nights with the real runner: the first, a quiet one, one with a planted regression, one that was killed."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import pytest

from gradbench.analysis.tables import Run
from gradbench.errors import EXIT, EnvironmentError, UsageError
from gradbench.history.baselines import accept
from gradbench.history.table import add_night
from gradbench.nightly import judge as judging
from gradbench.nightly import night as work
from gradbench.nightly.outcome import Outcome

if TYPE_CHECKING:
    from conftest import Nights


_CELLS = 6
_IMAGES = {"train": 64, "test": 16}


def test_the_first_night_says_how_to_accept_a_baseline_and_wakes_nobody(
    nights: Nights, capsys: pytest.CaptureFixture[str]
) -> None:
    nights.write(test="> 1")  # a claim that is not held
    assert nights.run("2026-01-05") == EXIT.OK
    run = nights.out / "mine" / nights.runs()[0]
    for text in (nights.summary("2026-01-05"), capsys.readouterr().out):
        assert "1 no baseline" in text
        assert f"`gradbench baseline accept {run} --reason TEXT`" in text.replace("\\", "")
    assert "### Claims not held\n\n- The error stays small" in nights.summary("2026-01-05")
    junit = nights.junit("2026-01-05")
    assert (junit.attrib["failures"], junit.attrib["errors"], junit.attrib["skipped"]) == ("0", "0", "1")
    history = nights.history()
    assert list(history["night"].unique()) == ["2026-01-05"]
    assert len(history) == 2 * 3  # depths, strategies


def test_a_quiet_night_is_identical(second: Nights, capsys: pytest.CaptureFixture[str]) -> None:
    assert second.run("2026-01-06") == EXIT.OK
    assert "mine: no regression: Identical" in capsys.readouterr().out
    (outcome,) = second.json("2026-01-06")
    assert outcome["state"] == "no regression"
    assert outcome["baseline"] == second.runs()[0]
    assert second.executions().total() == _CELLS  # the cells of another night are not used
    junit = second.junit("2026-01-06")
    assert int(junit.attrib["tests"]) > 6
    assert {junit.attrib[name] for name in ("failures", "errors", "skipped")} == {"0"}


@pytest.mark.parametrize(
    ("planted", "strategy", "sentence"),
    [
        ("worse", "approximate:4", "rel_error of approximate:4"),
        ("unrepeatable", "reconstruct", "repeatability of reconstruct"),
        ("buffers", "reconstruct", "changed buffers of reconstruct"),
    ],
)
def test_a_planted_regression_is_found(
    second: Nights, capsys: pytest.CaptureFixture[str], planted: str, strategy: str, sentence: str
) -> None:
    second.plant(planted)
    assert second.run("2026-01-06") == EXIT.FAILED
    assert f"  regression: {sentence}" in capsys.readouterr().out
    assert "**1 regression**" in second.summary("2026-01-06")
    assert f"### Regressions\n\n- {sentence}" in second.summary("2026-01-06").replace("\\", "")
    failing = _failing(second.junit("2026-01-06"))
    assert failing
    assert all(name.startswith(f"{strategy} at ") for name in failing)
    history = second.history().set_index(["night", "strategy", "depth"]).sort_index()
    before, after = (history.loc[(night, strategy)] for night in ("2026-01-05", "2026-01-06"))
    if planted == "worse":
        assert (after["rel_error"] / before["rel_error"]).between(1.29, 1.32).all()
    column = {"worse": "rel_error", "unrepeatable": "repeat_error", "buffers": "changed_buffers"}[planted]
    assert (after[column] > before[column]).all()


def test_numbers_that_do_not_repeat_are_no_regression(second: Nights) -> None:
    second.plant("noisy")
    assert second.run("2026-01-06") == EXIT.OK
    assert "Identical" not in second.summary("2026-01-06")


def test_claims_that_were_not_held_before_wake_nobody(second: Nights) -> None:
    second.write(test="> 1")
    second.run("2026-01-06")
    second.accept()
    assert second.run("2026-01-07") == EXIT.OK
    assert "nor in the baseline" in second.summary("2026-01-07")


def test_cells_that_did_not_finish_ask_for_attention_unless_they_did_not_before(second: Nights) -> None:
    second.plant("raise")
    assert second.run("2026-01-06") == EXIT.FAILED  # ok became error
    (outcome,) = second.json("2026-01-06")
    assert "depth=2 seed=1 stored: error" in outcome["missing"]
    assert _failing(second.junit("2026-01-06"), "error") == ["run"]
    accept(second.out / "mine" / second.runs()[-1], "it never worked", incomplete=True)
    assert second.run("2026-01-07") == EXIT.OK


def test_cells_that_did_not_finish_without_a_baseline(nights: Nights) -> None:
    nights.plant("raise")
    assert nights.run("2026-01-05") == EXIT.INCOMPLETE
    assert "3 rows of cells did not finish" in nights.summary("2026-01-05")
    assert nights.json("2026-01-05")[0]["state"] == "incomplete"


def test_a_case_that_crashes_does_not_stop_the_others(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = nights.folder / "broken.toml"
    broken.write_text("schema = 1\ntitle = 1\n")
    crashing, good = nights.write("crashing"), nights.write("good")
    true = judging.judge

    def judge(run: Run, *others: Any) -> Outcome:
        if run.manifest["case"] == "crashing":
            raise ZeroDivisionError("planted")
        return true(run, *others)

    monkeypatch.setattr(work, "judge", judge)
    cases = tuple(str(path) for path in (broken, crashing, good))
    assert nights.run("2026-01-05", cases=cases, sets=("seeds=1",)) == EXIT.INCOMPLETE
    states = {one["case"]: (one["state"], one["code"]) for one in nights.json("2026-01-05")}
    assert states == {
        "broken": ("failed", EXIT.USAGE),
        "crashing": ("failed", EXIT.INCOMPLETE),
        "good": ("no baseline", EXIT.OK),
    }
    assert "ZeroDivisionError: planted" in nights.summary("2026-01-05")
    assert nights.junit("2026-01-05").attrib["errors"] == "2"


def test_a_machine_that_cannot_is_said(nights: Nights) -> None:
    assert nights.run("2026-01-05", sets=("seeds=1",), probe="planted_cells:no_gpu") == EXIT.ENVIRONMENT
    assert "torch finds no GPU here" in nights.summary("2026-01-05")
    assert [one["state"] for one in nights.json("2026-01-05")] == ["failed"]


def test_a_baseline_that_is_gone_fails_the_case(second: Nights) -> None:
    second.run("2026-01-06")
    shutil.rmtree(second.out / "mine" / second.runs()[0])
    assert second.run("2026-01-06") == EXIT.FAILED
    assert "is gone; accept another run" in second.summary("2026-01-06")


def test_a_night_that_was_killed_goes_on_where_it_ended(second: Nights) -> None:
    before = second.history()
    second.plant("hang")
    process = second.start("2026-01-06")
    _wait(lambda: len(_finished(second.out / "mine/.cells/2026-01-06")) == _CELLS - 1)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (second.out / "nightly/2026-01-06").exists()
    assert second.history().equals(before)
    second.plant()
    assert second.run("2026-01-06") == EXIT.OK
    assert sorted(second.executions().values()) == [1] * (_CELLS - 1) + [2]
    assert list(second.history()["night"].unique()) == ["2026-01-05", "2026-01-06"]
    assert not list(second.folder.rglob("*.tmp"))


def test_an_interrupted_night_says_how_it_goes_on_and_its_run_is_replaced(second: Nights) -> None:
    second.plant("hang")
    process = second.start("2026-01-06")
    _wait(lambda: len(_finished(second.out / "mine/.cells/2026-01-06")) == _CELLS - 1)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == EXIT.INTERRUPTED
    assert "interrupted: `gradbench nightly --date 2026-01-06` with the same options goes on" in output
    interrupted = second.runs()[-1]
    second.plant()
    assert second.run("2026-01-06") == EXIT.OK
    assert len(second.runs()) == 2
    assert interrupted not in second.runs()


def test_a_night_run_twice_is_one_night(second: Nights) -> None:
    history, run = second.history(), second.runs()
    assert second.run("2026-01-05") == EXIT.OK
    assert second.executions().total() == 0
    assert second.history().drop(columns="run").equals(history.drop(columns="run"))
    assert [one["state"] for one in second.json("2026-01-05")] == ["no regression"]
    assert second.runs()[0] == run[0]  # it is the baseline, and stays


def test_two_versions_of_torch_share_a_night(second: Nights) -> None:
    assert second.run("2026-01-05", probe="planted_cells:old_probe") == EXIT.OK
    assert [(one["torch"], one["state"]) for one in second.json("2026-01-05")] == [
        ("2.13.0", "no baseline"),
        ("2.9.0", "no baseline"),
    ]
    assert set(second.history()["torch"]) == {"2.9.0", "2.13.0"}
    assert len(second.junit("2026-01-05")) == 2
    assert len(second.runs()) == 2


def test_a_lasting_change_in_the_history_is_told(second: Nights) -> None:
    history = second.history()
    for day in range(23, 32):
        add_night(second.out / "mine", history.assign(night=f"2025-12-{day:02d}"))
    third = (history["strategy"] == "approximate:4") & (history["depth"] == 2)
    worse = history.assign(rel_error=history["rel_error"] * (1 + 0.3 * third))
    for day in (6, 8):  # the night between them was missed
        add_night(second.out / "mine", worse.assign(night=f"2026-01-{day:02d}"))
    second.plant("worse")
    second.run("2026-01-09")
    lines = second.summary("2026-01-09").replace("\\", "").splitlines()
    told = lines[lines.index("### Lasting changes in the history") + 2]
    assert told.startswith("- since 2026-01-06: rel_error of approximate:4 at depth=2 is ")
    later = second.json("2026-01-09")[0]
    assert len(later["changes"]) == 1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"date": "tomorrow"}, "--date tomorrow: a night is a date, for example 20"),
        ({"date": "20260105"}, "--date 20260105: a night is a date"),
        ({"keep": 0}, "--keep 0: at least the night itself is kept"),
        ({"jobs": 0}, "--jobs 0"),
        ({"cases": (), "tag": "nightli"}, "--tag nightli: no shipped case has it; did you mean 'nightly'?"),
        ({"cases": ("hybrid-depth-swep",)}, "unknown case 'hybrid-depth-swep'"),
    ],
)
def test_what_is_not_allowed_is_said_before_anything_is_written(
    nights: Nights, changes: dict[str, object], sentence: str
) -> None:
    with pytest.raises(UsageError) as caught:
        nights.run(**{"date": "2026-01-05", **changes})  # type: ignore[arg-type]
    assert sentence in str(caught.value)
    assert not (nights.out / "nightly").exists()


def test_a_folder_that_cannot_be_written_to_is_said(nights: Nights) -> None:
    nights.out.write_text("a file")
    with pytest.raises(EnvironmentError, match="cannot write there"):
        nights.run("2026-01-05")


def test_a_real_cell_with_a_planted_fault_is_found(nights: Nights) -> None:
    rng = np.random.default_rng(0)
    images = {f"x_{part}": rng.integers(0, 256, (count, 3, 8, 8), np.uint8) for part, count in _IMAGES.items()}
    labels = {f"y_{part}": np.arange(count) % 2 for part, count in _IMAGES.items()}
    np.savez(nights.folder / "images.npz", **images, **labels)
    small = ("seeds=1", "matrix.depth=[1]", "model.width=4", "data.image_size=8", "data.batch_size=8", "train.steps=2")
    sets = (*small, "measure.sgd_batches=3", "measure.at=[0]", "measure.truth_batches=1", "measure.cost=false")
    real = {"cell": "planted_cells:run_real_cell", "data": "gradbench.runner.probe:fetch_data", "sets": sets}
    assert nights.run("2026-01-05", **real) == EXIT.OK
    nights.accept()
    nights.plant("unrepeatable")
    assert nights.run("2026-01-07", **real) == EXIT.FAILED
    assert "repeatability of reconstruct" in nights.summary("2026-01-07")


def _failing(junit: ElementTree.Element, kind: str = "failure") -> list[str]:
    return [case.attrib["name"] for case in junit.iter("testcase") if case.find(kind) is not None]


def _finished(cells: Path) -> list[Path]:
    return [path for path in cells.glob("*.json") if not path.name.startswith("environment-")]


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
