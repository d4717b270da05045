"""`gradbench validate`: a line for each good case, and every mistake of all bad ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from gradbench.case.find import shipped

Call = Callable[..., Result]

FIVE_MISTAKES = """
schema = 1
title = "Five mistakes"
seeds = 0
[modl]
[train]
stepz = 3
[matrix]
dept = [3]
[measure]
strategies = ["reconstuct"]
"""


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.toml"
    path.write_text(FIVE_MISTAKES, encoding="utf-8")
    return path


def test_all_shipped_cases_are_good(call: Call) -> None:
    result = call("validate")
    assert result.exit_code == 0, result.stderr
    assert [line.split()[:2] for line in result.stdout.splitlines()] == [["ok", name] for name in shipped()]


def test_cells_are_counted_by_profile(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "good.toml"
    path.write_text("schema = 1\ntitle = 'x'\nmatrix.depth = [3, 4]\n", encoding="utf-8")
    assert call("validate", path).stdout == "ok good (no profiles: 6 cells)\n"
    with path.open("a", encoding="utf-8") as file:
        file.write("[profile.a]\nseeds = 1\n[profile.b]\nmatrix.width = [8, 16]\n")
    assert call("validate", path).stdout == "ok good (profiles a: 2 cells, b: 12 cells)\n"


def test_five_mistakes_are_five_lines_and_exit_code_2(call: Call, bad: Path) -> None:
    result = call("validate", bad)
    assert result.exit_code == 2
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 5
    assert [line.removeprefix(f"{bad}:").split(": ")[:2] for line in lines] == [
        ["4", "seeds"],
        ["5", "modl"],
        ["7", "train.stepz"],
        ["9", "matrix.dept"],
        ["11", "measure.strategies[0]"],
    ]


def test_good_and_bad_together(call: Call, bad: Path, tmp_path: Path) -> None:
    worse = tmp_path / "worse.toml"
    worse.write_text("= 3", encoding="utf-8")
    result = call("validate", "hybrid-depth-sweep", tmp_path / "*.toml", bad)
    assert result.exit_code == 2
    assert result.stdout.startswith("ok hybrid-depth-sweep (profiles quick: ")
    assert len(result.stderr.splitlines()) == 6
    assert f"{worse}:1:1: not valid TOML" in result.stderr


def test_an_unknown_name_is_answered_with_the_nearest(call: Call) -> None:
    result = call("validate", "hybrid-dept-sweep")
    assert result.exit_code == 2
    assert "did you mean 'hybrid-depth-sweep'?" in result.stderr
