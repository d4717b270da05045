"""`gradbench run` hands everything over and exits with what comes back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from gradbench.errors import EnvironmentError
from gradbench.runner import run
from gradbench.runner.run import RunOptions

Call = Callable[..., Result]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[RunOptions]:
    """What the runner was asked for; it runs nothing and returns the number of jobs as the exit code."""
    seen: list[RunOptions] = []

    def run_cases(options: RunOptions) -> int:
        seen.append(options)
        return options.jobs or 0

    monkeypatch.setattr(run, "run_cases", run_cases)
    return seen


def test_defaults(call: Call, asked: list[RunOptions]) -> None:
    assert call("run", "--case", "x").exit_code == 0
    (options,) = asked
    assert options == RunOptions(cases=("x",), argv=options.argv)
    assert options.argv[0] == "gradbench"


def test_every_option_arrives(call: Call, asked: list[RunOptions]) -> None:
    result = call(
        *("run", "--case", "x", "--case", "y*", "--profile", "quick", "--set", "a.b=1", "--set", "c=[2]"),
        *("--device", "cuda:1", "--out", "some/where", "--jobs", "3", "--only", "failed", "--fresh", "--dry-run"),
        *("--cell", "a1", "--timeout", "2.5", "-v", "-v"),
    )
    assert result.exit_code == 3
    (options,) = asked
    assert options == RunOptions(
        cases=("x", "y*"),
        profile="quick",
        sets=("a.b=1", "c=[2]"),
        device="cuda:1",
        out=Path("some/where"),
        jobs=3,
        only=frozenset({"failed"}),
        only_cells=("a1",),
        fresh=True,
        dry_run=True,
        timeout=2.5,
        verbosity=2,
        argv=options.argv,
    )


def test_only_takes_both_words(call: Call, asked: list[RunOptions]) -> None:
    call("run", "--case", "x", "--only", "missing, failed", "-q")
    assert asked[0].only == {"missing", "failed"}
    assert asked[0].verbosity == -1


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 130])
def test_the_runners_exit_code_is_ours(call: Call, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setattr(run, "run_cases", lambda options: code)
    assert call("run", "--case", "x").exit_code == code


def test_the_runners_error_is_a_sentence(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_cases(options: RunOptions) -> int:
        raise EnvironmentError("reports: cannot write there: read-only file system")

    monkeypatch.setattr(run, "run_cases", run_cases)
    result = call("run", "--case", "x")
    assert (result.exit_code, result.stderr) == (4, "reports: cannot write there: read-only file system\n")


@pytest.mark.parametrize("arguments", [[], ["--case", "x", "--jobs", "many"], ["--case", "x", "--timeout", "long"]])
def test_bad_usage(call: Call, asked: list[RunOptions], arguments: list[str]) -> None:
    assert call("run", *arguments).exit_code == 2
    assert asked == []


def test_an_unknown_case_is_answered_with_the_nearest(call: Call) -> None:
    result = call("run", "--case", "hybrid-depth-swep", "--dry-run")
    assert result.exit_code == 2
    assert "did you mean 'hybrid-depth-sweep'?" in result.stderr
