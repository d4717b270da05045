"""Cells that ran in several places become one run."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gradbench.errors import EXIT, UsageError
from gradbench.runner.gather import gather

if TYPE_CHECKING:
    from conftest import Planted

GPU = {"probe": "fake_cells:gpu_probe"}


def gathered(planted: Planted, *folders: Path, **changes: Any) -> int:
    return gather(replace(planted.options, **changes), folders, planted.targets())


def stay(planted: Planted, name: str, *cells: str, **more: Any) -> Path:
    """Run some cells into a folder of reports of their own, as on another machine."""
    targets = planted.targets(probe=more.pop("probe", "fake_cells:probe"))
    planted.run(targets, out=planted.folder / name, only_cells=cells, **more)
    return planted.folder / name


@pytest.mark.parametrize("probe", ["fake_cells:probe", "fake_cells:gpu_probe"])
def test_cells_of_two_stays_make_the_run_that_one_would_have_made(planted: Planted, probe: str) -> None:
    one = stay(planted, "one", "hybrid depth=1 seed=0", "hybrid depth=2 seed=1", probe=probe, threads=3)
    two = stay(planted, "two", probe=probe, threads=3, sets=("matrix.depth=[1,3]",))
    three = stay(planted, "three", "hybrid depth=2 seed=0", probe=probe, threads=3)
    ran = planted.executions()
    assert gathered(planted, one, two / "planted", three / "planted" / ".cells") == EXIT.OK
    assert planted.executions() == ran
    manifest, tables = planted.manifest(), planted.firm_tables()
    assert (manifest["state"], manifest["cells_run"], manifest["cells_from_store"]) == ("complete", 0, 6)
    assert manifest["threads"] == 3
    planted.run(planted.targets(probe=probe), out=planted.folder / "whole", threads=3)
    whole = planted.folder / "whole" / "planted"
    assert planted.firm_tables(whole / (whole / "latest").read_text().strip()) == tables
    assert planted.run(planted.targets(probe=probe), threads=3) == EXIT.OK
    assert planted.manifest()["cells_run"] == 0


def test_what_is_missing_is_said_and_can_be_gone_on_with(planted: Planted, capsys: pytest.CaptureFixture[str]) -> None:
    one = stay(planted, "one", "hybrid depth=1 seed=0", **GPU)
    assert gathered(planted, one) == EXIT.INCOMPLETE
    assert "1 of 6 cells are finished; on such a machine `gradbench run` goes on" in capsys.readouterr().out
    assert planted.manifest()["state"] == "incomplete"
    planted.run(planted.targets(**GPU))
    assert (planted.manifest()["cells_run"], planted.manifest()["cells_from_store"]) == (5, 1)


def test_the_newer_record_counts_unless_only_the_older_came_to_its_end(planted: Planted) -> None:
    cell = "hybrid depth=2 seed=0"
    old, new, failed = stay(planted, "old", cell), stay(planted, "new", cell), stay(planted, "failed", cell)
    for folder, time, status in ((old, "1", "ok"), (new, "2", "diverged"), (failed, "3", "error")):
        (path,) = planted.records(folder)
        path.write_text(json.dumps(json.loads(path.read_text()) | {"time": time, "status": status}))
    gathered(planted, old, failed, new)
    assert planted.manifest()["cells_by_status"] == {"diverged": 1, "missing": 5}


def test_what_a_cell_had_begun_comes_along(planted: Planted) -> None:
    planted.behave({2: "raise"})
    one = stay(planted, "one", "hybrid depth=2 seed=0", **GPU)
    (record,) = planted.records(one)
    record.unlink()
    assert gathered(planted, one) == EXIT.INCOMPLETE
    assert [path.name for path in (planted.out / ".cells").glob("*.begun")] == [f"{record.stem}.begun"]


def test_a_store_may_be_gathered_into_itself(planted: Planted) -> None:
    planted.run()
    tables = planted.firm_tables()
    shutil.rmtree(planted.newest())
    assert gathered(planted, planted.folder / "out") == EXIT.OK
    assert planted.firm_tables() == tables


def test_two_kinds_of_machine_are_refused(planted: Planted) -> None:
    one = stay(planted, "one", "hybrid depth=1 seed=0", **GPU)
    two = stay(planted, "two", "hybrid depth=2 seed=0", threads=7)
    with pytest.raises(
        UsageError, match=r"planted: cells of one kind .* on a test GPU with torch 0.* a test with torch 0"
    ):
        gathered(planted, one, two)
    assert not planted.out.exists()


def test_other_settings_have_no_cell(planted: Planted) -> None:
    one = stay(planted, "one")
    with pytest.raises(
        UsageError, match=r"^planted: no cell of it in .*one: profile, settings, data set and gradbench"
    ):
        gathered(planted, one, sets=("model.width=64",))


def test_a_folder_that_is_none_is_named(planted: Planted) -> None:
    with pytest.raises(UsageError, match=r"nowhere: no such folder"):
        gathered(planted, planted.folder / "nowhere")
