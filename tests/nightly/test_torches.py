"""The newest nights of several versions of torch, side by side."""

from __future__ import annotations

import json
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from gradbench.analysis.tables import read_run
from gradbench.cli.main import cli
from gradbench.errors import UsageError
from gradbench.nightly.torches import by_torch, markdown

Add = Callable[..., Path]
write_run: Add = runpy.run_path(str(Path(__file__).parents[1] / "report/synthetic_run.py"))["write_run"]


def _as_it_is(cells: pd.DataFrame) -> pd.DataFrame:
    return cells


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with invented numbers."""
    return write_run(tmp_path_factory.mktemp("made") / "run", depths=(3, 5), slopes=(0.2,), seeds=2)


@pytest.fixture
def add(made: Path, tmp_path: Path) -> Add:
    """Write the invented run as that of a night with a version of torch; `change` edits its table of cells."""

    def write(torch: str, night: str | None, change: Callable[[pd.DataFrame], pd.DataFrame] = _as_it_is) -> Path:
        folder = tmp_path / "hybrid-depth-sweep" / f"{night}-{torch}"
        shutil.copytree(made, folder)
        manifest = json.loads((folder / "manifest.json").read_text())
        environment = {"device": "cpu", "device_name": "a CPU", "torch": torch}
        manifest |= {"environment": environment, "threads": 1, "night": night, "finished": f"{night}T00:00:00Z"}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        cells = pd.read_csv(folder / "cells.csv", dtype=str, keep_default_na=False)
        change(cells).to_csv(folder / "cells.csv", index=False)
        return folder

    return write


def _at(cells: pd.DataFrame, strategy: str) -> pd.Series:
    return (cells["model"] == "hybrid") & (cells["depth"].astype(int) == 5) & (cells["strategy"] == strategy)


def test_versions_stand_in_order_with_what_became_of_each_number(add: Add, tmp_path: Path) -> None:
    def change(cells: pd.DataFrame) -> pd.DataFrame:
        cells.loc[_at(cells, "checkpoint"), "changed_buffers"] = "2"
        cells.loc[_at(cells, "approximate:4"), "loss"] = "1.25"
        cells.loc[_at(cells, "reconstruct"), "time_ratio"] = "99"  # advisory, and no difference
        return cells

    add("2.15.0+cpu", "2026-01-05", change)
    old = add("2.9.0+cpu", "2026-01-06")
    add("2.9.0+cpu", "2026-01-04", change)  # not the newest of its version
    add("2.11.0", None, change)  # of no night
    (one,) = by_torch(tmp_path)
    assert one.versions == ("2.9.0+cpu", "2.15.0+cpu")
    assert one.nights == ("2026-01-06", "2026-01-05")
    rows = {(row.setting["model"], row.setting["depth"], row.strategy): row.entries for row in one.rows}
    assert not any(strategy == "stored" for *_, strategy in rows)
    assert {entries[0].change for entries in rows.values() if entries[0]} == {""}
    found = {key: entries[1].change for key, entries in rows.items() if entries[1]}
    assert found.pop(("hybrid", 5, "checkpoint")) == "regression"
    assert found.pop(("hybrid", 5, "approximate:4")) == "differs"
    assert set(found.values()) == {"identical"}
    cells = read_run(old).tables["cells"]
    entry = rows["hybrid", 3, "reconstruct"][0]
    assert entry is not None
    here = (cells["model"] == "hybrid") & (cells["depth"] == 3) & (cells["strategy"] == "reconstruct")
    assert entry.rel_error == cells.loc[here, "rel_error"].median()


def test_a_row_that_a_version_lacks_is_empty(add: Add, tmp_path: Path) -> None:
    add("2.9.0", "2026-01-05")
    add("2.10.0", "2026-01-05", lambda cells: cells[cells["strategy"] != "checkpoint"])
    (one,) = by_torch(tmp_path)
    assert {row.entries[1] for row in one.rows if row.strategy == "checkpoint"} == {None}
    assert "| checkpoint | 0 exact |  |" in markdown([one])


def test_the_command_prints_and_writes(add: Add, tmp_path: Path) -> None:
    add("2.9.0", "2026-01-05")
    add("2.10.0", "2026-01-06")

    def call(*arguments: str) -> str:
        result = CliRunner().invoke(cli, ["nightly", "--by", "torch", "--out", str(tmp_path), *arguments])
        assert result.exit_code == 0, result.stderr
        return result.stdout

    written = tmp_path / "nightly/2026-01-06/torch.md"
    text = call("--format", "markdown")
    assert text == written.read_text()
    assert "| model | depth | negative_slope | strategy | 2.9.0 | 2.10.0 |" in text
    assert "<script" not in text.replace("\\<script", "")
    (one,) = json.loads(call("--format", "json"))
    assert one["versions"] == ["2.9.0", "2.10.0"]
    table = call().splitlines()
    assert table[1].split() == ["model", "depth", "negative_slope", "strategy", "2.9.0", "2.10.0"]
    assert any(line.startswith("2.10.0: ") for line in table)
    call("--date", "2026-02-01", "--case", "hybrid-depth-sweep")
    assert (tmp_path / "nightly/2026-02-01/torch.md").is_file()


def test_no_night_is_said(add: Add, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no night was run there yet"):
        by_torch(tmp_path)
    add("2.9.0", "2026-01-05")
    with pytest.raises(UsageError, match=r"has no night of it; did you mean 'hybrid-depth-sweep'\?"):
        by_torch(tmp_path, ["hybrid-depth-swep"])
