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
    assert (
        "1 of 6 cells are finished; on such a machine `PYTORCH_CUDA_ALLOC_CONF=a:b gradbench run --case"
        in capsys.readouterr().out
    )
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


@pytest.mark.parametrize("failed", [True, False])
def test_what_a_cell_had_begun_comes_along(planted: Planted, failed: bool) -> None:
    planted.behave({2: "raise"})
    one = stay(planted, "one", "hybrid depth=2 seed=0", **GPU)
    (record,) = planted.records(one)
    if not failed:
        record.unlink()
    assert gathered(planted, one) == EXIT.INCOMPLETE
    assert [path.name for path in (planted.out / ".cells").glob("*.begun")] == [f"{record.stem}.begun"]


def test_of_what_was_begun_the_further_is_kept(planted: Planted) -> None:
    planted.behave({2: "raise"})
    stores = [stay(planted, name, "hybrid depth=2 seed=0", **GPU) for name in ("one", "two", "three")]
    for folder, phases in zip(stores, (["a"], ["a", "b"], []), strict=True):
        (begun,) = (folder / "planted" / ".cells").glob("*.begun")
        begun.write_text(json.dumps({"phases": phases}))
    gathered(planted, *stores)
    (kept,) = (planted.out / ".cells").glob("*.begun")
    assert json.loads(kept.read_text()) == {"phases": ["a", "b"]}


@pytest.mark.parametrize("finished_first", [True, False])
def test_of_a_cell_that_finished_elsewhere_nothing_begun_is_left(planted: Planted, finished_first: bool) -> None:
    cell = "hybrid depth=2 seed=0"
    finished = stay(planted, "finished", cell, **GPU)
    planted.behave({2: "raise"})
    begun = stay(planted, "begun", cell, **GPU)
    assert len(list((begun / "planted" / ".cells").glob("*.begun"))) == 1
    gathered(planted, *([finished, begun] if finished_first else [begun, finished]))
    assert list((planted.out / ".cells").glob("*.begun")) == []
    assert planted.manifest()["cells_by_status"] == {"ok": 1, "missing": 5}


def test_a_store_may_be_gathered_into_itself(planted: Planted) -> None:
    planted.run()
    tables = planted.firm_tables()
    shutil.rmtree(planted.newest())
    assert gathered(planted, planted.folder / "out") == EXIT.OK
    assert planted.firm_tables() == tables


def test_of_two_kinds_of_machine_the_one_with_most_cells_makes_the_run(
    planted: Planted, capsys: pytest.CaptureFixture[str]
) -> None:
    one = stay(planted, "one", "hybrid depth=1 seed=0", **GPU)
    stay(planted, "one", "hybrid depth=2 seed=0", "hybrid depth=3 seed=1", threads=7)
    capsys.readouterr()
    assert gathered(planted, one) == EXIT.INCOMPLETE
    said = capsys.readouterr()
    left = (
        "planted: 1 cells on a test GPU with torch 0, PYTORCH_CUDA_ALLOC_CONF a:b are left out: a run has one kind of"
    )
    assert left in said.err
    assert planted.manifest()["cells_by_status"] == {"ok": 2, "missing": 4}
    command = f"gradbench run --case {planted.options.cases[0]} --device cpu --jobs {planted.manifest()['jobs']} --out"
    assert f"on such a machine `{command} " in said.out


def test_other_settings_have_no_cell(planted: Planted) -> None:
    one = stay(planted, "one")
    with pytest.raises(UsageError, match=r"one: no cell of planted as it is asked for here: profile, settings, data"):
        gathered(planted, one, sets=("model.width=64",))


def test_a_case_without_cells_does_not_stop_the_others(planted: Planted) -> None:
    one = stay(planted, "one")
    (planted.folder / "other.toml").write_text((planted.folder / "planted.toml").read_text())
    assert gathered(planted, one, cases=(str(planted.folder / "*.toml"),)) == EXIT.OK
    assert not (planted.folder / "out" / "other").exists()


@pytest.mark.parametrize("name", ["nowhere", "images.npz"])
def test_a_folder_that_is_none_is_named(planted: Planted, name: str) -> None:
    with pytest.raises(UsageError, match=rf"{name}: no such folder"):
        gathered(planted, planted.folder / name)


def test_a_folder_without_cells_is_named(planted: Planted) -> None:
    one = stay(planted, "one")
    run = one / "planted" / (one / "planted" / "latest").read_text().strip()
    with pytest.raises(UsageError, match=rf"{run.name}: no cells of planted are kept there"):
        gathered(planted, run)


@pytest.mark.parametrize("text", ["{}", "[]", '{"device": ', '{"device": "cpu"}'])
def test_a_damaged_environment_is_said_once(planted: Planted, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    one = stay(planted, "one", "hybrid depth=1 seed=0")
    (one / "planted" / ".cells" / "environment-0123.json").write_text(text)
    assert gathered(planted, one) == EXIT.INCOMPLETE
    assert capsys.readouterr().err.count("environment-0123.json: damaged") == 1


def test_cells_whose_threads_nobody_knows_are_left_out(planted: Planted, capsys: pytest.CaptureFixture[str]) -> None:
    one = stay(planted, "one", "hybrid depth=1 seed=0")
    for path in (one / "planted" / ".cells").glob("environment-*.json"):
        known = json.loads(path.read_text())
        path.write_text(json.dumps({key: known[key] for key in known if key not in ("jobs", "threads")}))
    with pytest.raises(UsageError, match="no cell of planted"):
        gathered(planted, one)
    assert "an older gradbench did not keep how many threads" in capsys.readouterr().err
