"""`gradbench show`: a case that can be run again, and a run's verdicts."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from gradbench.case.find import shipped
from gradbench.case.load import load
from gradbench.case.schema import Case

Call = Callable[..., Result]


def test_a_case_is_shown_as_toml_that_says_the_same(call: Call) -> None:
    result = call("show", "hybrid-depth-sweep", "--profile", "quick", "--set", "seeds=5", "--set", "train.momentum=0.5")
    assert result.exit_code == 0
    case = load(shipped()["hybrid-depth-sweep"], "quick", ["seeds=5", "train.momentum=0.5"])
    assert Case.model_validate(tomllib.loads(result.stdout)) == case.model_copy(update={"profile": {}})
    assert case.train.momentum == 0.5
    assert "with profile quick: " in result.stdout


def test_a_case_says_how_many_cells_it_has(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    profiles = "[profile.a]\nseeds = 1\n[profile.b]\nmatrix.depth = [5]\n"
    path.write_text(f"schema = 1\ntitle = 'x'\nseeds = 2\nmatrix.depth = [3, 4]\n{profiles}", encoding="utf-8")
    lines = call("show", path).stdout.splitlines()
    assert lines[0] == f"# {path}, without a profile: 4 cells, 2 settings with up to 2 seeds"
    assert lines[1] == "# cells by profile: a 2, b 2"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["hybrid-depth-swep"], "did you mean 'hybrid-depth-sweep'?"),
        (["hybrid-depth-sweep", "--profile", "quik"], "did you mean 'quick'?"),
        (["hybrid-depth-sweep", "--set", "train.step=3"], "did you mean 'steps'?"),
    ],
)
def test_what_is_unknown_is_answered_with_the_nearest(call: Call, arguments: list[str], sentence: str) -> None:
    result = call("show", *arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_a_run_shows_verdict_settings_claims_faults_and_failures(call: Call, run: Path) -> None:
    result = call("show", run)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == f"{run}: 3 ok, 1 oom"
    rows = [line.split() for line in lines]
    assert ["depth", "strategy", "verdict", "error", "noise", "accuracy"] in rows
    assert ["3", "reconstruct", "harmful", "0.12", "2.5", "0.250"] in rows
    assert ["5", "stored", "exact", "0", "-", "0.750"] in rows
    assert ["not", "held", "2.5", "<=", "1", "2.25", "to", "2.75", "3", "Right", "at", "depth", "3"] in rows
    (fault,) = (" ".join(row) for row in rows if "masks" in row)
    assert fault == "reconstruct masks dropout draws another mask hybrid, depth 3 and 1 more cell"
    assert not [row for row in rows if "buffers" in row]
    assert rows[-1][:5] == ["hybrid", "5", "0", "reconstruct", "oom"]
    assert lines[-1].endswith("out of memory: 2.1 GiB wanted")


@pytest.mark.parametrize("word", ["latest", "mine/latest"])
def test_the_latest_run_is_found(call: Call, run: Path, word: str) -> None:
    result = call("show", word, "--out", run.parent.parent)
    assert result.stdout == call("show", run).stdout
    assert result.stdout


def test_reports_is_where_the_latest_run_is_looked_for(call: Call, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.parents[2])
    assert call("show", "latest").stdout.startswith("reports/mine/first: ")
    assert call("show", "reports/mine").stdout.startswith("reports/mine/first: ")
    assert call("show", "reports/mine/latest").stdout.startswith("reports/mine/first: ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["latest", "--out", "nowhere"], "nowhere: no run there yet"),
        (["mien/latest"], "did you mean 'mine'?"),
        (["reports"], "reports: no run there"),
        (["reports/mine/first", "--profile", "quick"], "is a run: --profile and --set are for cases"),
    ],
)
def test_a_run_that_is_not_there(
    call: Call, run: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
) -> None:
    monkeypatch.chdir(run.parents[2])
    result = call("show", *arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_a_latest_that_names_nothing(call: Call, run: Path) -> None:
    (run.parent / "latest").write_text("gone\n", encoding="utf-8")
    result = call("show", "latest", "--out", run.parent.parent)
    assert result.exit_code == 2
    assert "names gone, which is not the folder of a run" in result.stderr
