"""`gradbench baseline`: accepting and listing, as a user does it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Call = Callable[..., Result]


@pytest.fixture
def mine(run: Path) -> Path:
    """The small run, with a manifest that says whose it is; returns the folder of reports."""
    path = run / "manifest.json"
    environment = {"device": "cpu", "device_name": "a CPU", "torch": "2.13.0"}
    about = {"case": "mine", "profile": "quick", "sets": ["seeds=2"], "state": "complete", "environment": environment}
    path.write_text(json.dumps({**json.loads(path.read_text()), **about, "threads": 1}))
    return run.parent.parent


def test_what_was_accepted_is_listed(call: Call, mine: Path) -> None:
    result = call("baseline", "accept", "latest", "--reason", "the first night", "--out", mine)
    assert result.exit_code == 0, result.stderr
    assert "mine/first is now the baseline of mine, profile quick seeds=2\n" in result.stdout
    assert "on: torch 2.13.0, a CPU, threads 1" in result.stdout
    assert call("baseline", "accept", "mine/first", "--reason", "again", "--out", mine).exit_code == 0
    rows = [line.split() for line in call("baseline", "list", "--out", mine).stdout.splitlines()]
    assert rows[0] == ["case", "for", "run", "counts", "accepted", "reason", "on"]
    assert [row[:5] for row in rows[1:]] == [
        ["mine", "profile", "quick", "seeds=2", "first"],
        ["mine", "profile", "quick", "seeds=2", "first"],
    ]
    listed = json.loads(call("baseline", "list", "mine", "--json", "--out", mine).stdout)
    assert [(one["reason"], one["counts"]) for one in listed] == [("the first night", False), ("again", True)]


def test_a_reason_is_asked_for(call: Call, mine: Path) -> None:
    result = call("baseline", "accept", "latest", "--out", mine)
    assert result.exit_code == 2
    assert "--reason" in result.stderr


def test_an_incomplete_run_is_refused(call: Call, mine: Path) -> None:
    path = mine / "mine/first/manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "state": "interrupted"}))
    words = ("baseline", "accept", "mine/latest", "--reason", "x", "--out", mine)
    result = call(*words)
    assert result.exit_code == 2
    assert "the run is interrupted" in result.stderr
    assert call(*words, "--incomplete").exit_code == 0


def test_nothing_accepted_is_said(call: Call, mine: Path) -> None:
    result = call("baseline", "list", "--out", mine)
    assert result.exit_code == 0
    assert "no baseline was accepted yet; `gradbench baseline accept RUN --reason TEXT` accepts one" in result.stdout
    result = call("baseline", "list", "mien", "--out", mine)
    assert result.exit_code == 2
    assert "mien: no baseline was accepted there" in result.stderr
