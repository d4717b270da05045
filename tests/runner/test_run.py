"""A run from its case file to its folder, with cells that do what they are told."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from gradbench.errors import EXIT, CaseError, EnvironmentError, UsageError
from gradbench.files import cannot_write, write_atomic
from gradbench.results import TABLES
from gradbench.runner import case_run, folder, store
from gradbench.runner.plan import default_jobs

if TYPE_CHECKING:
    from conftest import Planted


def test_a_run_leaves_tables_manifest_report_and_its_name(planted: Planted, capsys: pytest.CaptureFixture[str]) -> None:
    assert planted.run(argv=("gradbench", "run", "--case", "x y")) == EXIT.OK
    printed, progress = capsys.readouterr()
    assert f"report: {planted.newest() / 'report.html'}" in printed
    assert "held: Every cell measures an SNR below 1000 dB" in printed
    assert progress.startswith("planted: no profile, because the case has none called quick\n")
    assert "[6/6] " in progress
    assert "\r" not in progress
    for table in TABLES.values():
        assert (planted.newest() / table.file).is_file()
    manifest = planted.manifest()
    assert manifest["state"] == "complete"
    assert manifest["argv"] == ["gradbench", "run", "--case", "x y"]
    assert manifest["cells_by_status"] == {"ok": 6}
    assert manifest["axes"] == {"model": ["hybrid"], "depth": [1, 2, 3]}
    assert (manifest["cells_run"], manifest["cells_from_store"]) == (6, 0)
    assert not list(planted.folder.rglob("*.tmp"))
    assert not list(planted.folder.rglob("*.log"))


def test_tables_are_in_the_order_of_the_plan_with_their_axes(planted: Planted) -> None:
    planted.run(jobs=3)  # they end in another order
    cells = planted.table("cells")
    header = ["cell", "model", "depth", "seed", *(column.name for column in TABLES["cells"].columns)]
    assert list(cells.columns) == header
    firsts = cells.drop_duplicates("cell")
    expected = [(seed, model, depth) for seed in (0, 1) for model in ("hybrid",) for depth in (1, 2, 3)]
    assert list(zip(firsts["seed"], firsts["model"], firsts["depth"], strict=True)) == expected
    assert list(cells["strategy"]) == ["stored", "reconstruct", "checkpoint"] * 6


def test_infinite_and_undefined_numbers_are_words_that_pandas_reads(planted: Planted) -> None:
    planted.run()
    assert (planted.table("activations")["snr"] == math.inf).all()
    assert planted.table("training")["loss"].isna().all()
    line = (planted.newest() / "training.csv").read_text().splitlines()[1]
    assert line.split(",")[4:] == ["stored", "10", "", "nan", ""]


def test_finished_cells_are_not_run_again(planted: Planted) -> None:
    planted.behave({"2": "diverge"})
    assert planted.run() == EXIT.OK
    first = planted.firm_tables()
    planted.behave({"2": "raise"})
    assert planted.run() == EXIT.OK
    assert set(planted.executions().values()) == {1}
    assert planted.firm_tables() == first
    assert planted.manifest()["cells_by_status"] == {"ok": 4, "diverged": 2}
    assert planted.manifest()["cells_from_store"] == 6


def test_what_a_cell_has_begun_is_kept_until_it_comes_to_its_end(planted: Planted) -> None:
    def goes_on() -> list[str]:
        path = planted.folder / "goes-on.txt"
        lines = sorted(path.read_text().splitlines())
        path.unlink()
        return [line.split()[1] for line in lines if line.startswith("2 ")]

    planted.behave({"2": "raise"})
    planted.run()
    cells = planted.out / ".cells"
    begun = list(cells.glob("*.begun"))
    assert len(begun) == len(goes_on()) > 0
    planted.run()
    assert set(goes_on()) == {"True"}
    planted.run(fresh=True)
    assert set(goes_on()) == {"False"}
    planted.behave({})
    planted.run()
    assert set(goes_on()) == {"True"}
    assert not list(cells.glob("*.begun"))


def test_fresh_runs_everything_again(planted: Planted) -> None:
    planted.run()
    assert planted.run(fresh=True) == EXIT.OK
    assert set(planted.executions().values()) == {2}


@pytest.mark.parametrize(
    ("behaviour", "status", "reason"),
    [
        ("raise", "error", r"ValueError: planted in two lines \(fake_cells.py:\d+\)"),
        ("segfault", "error", "killed by SIGSEGV; last words: File .*fake_cells.py"),
        ("kill", "error", r"killed by SIGKILL \(often: out of memory\); last words: allocating everything"),
        ("oom", "oom", r"OutOfMemoryError: CUDA out of memory\. Tried to allocate 3 GiB\."),
        ("host-oom", "oom", "RuntimeError: .*can't allocate memory"),
        ("hang", "timeout", "ended after 5 s, the limit"),
        ("exit", "error", "the process ended with exit code 7 and no result"),
        ("unknown-column", "error", "the cell returned a column 'relative_error' that table gradients does not have"),
    ],
)
def test_a_failing_cell_is_a_row_with_its_reason(planted: Planted, behaviour: str, status: str, reason: str) -> None:
    planted.behave({"3": behaviour})
    timeout = 5.0 if behaviour == "hang" else None  # long enough that a busy machine has begun
    assert planted.run(sets=("seeds=1", "matrix.depth=[2,3]"), timeout=timeout) == EXIT.INCOMPLETE
    cells = planted.table("cells").set_index(["depth", "strategy"])
    assert set(cells.loc[2, "status"]) == {"ok"}
    failed = cells.loc[3]
    assert list(failed.index) == ["stored", "reconstruct", "checkpoint"]
    assert set(failed["status"]) == {status}
    assert failed["reason"].str.fullmatch(f"{reason}.*").all(), failed["reason"].iloc[0]
    assert failed["min_snr_db"].isna().all()
    assert len(list(planted.out.glob(".cells/*.log"))) == 1
    assert planted.manifest()["state"] == "incomplete"


def test_only_failed_and_only_missing(planted: Planted) -> None:
    planted.behave({"2": "raise"})
    assert planted.run(sets=("seeds=1",)) == EXIT.INCOMPLETE
    planted.behave({})
    before = planted.executions()
    assert planted.run(only=frozenset({"missing"})) == EXIT.INCOMPLETE  # seed 1 of all; the failed ones stay failed
    assert planted.executions().total() - before.total() == 3
    assert planted.manifest()["cells_by_status"] == {"ok": 5, "error": 1}
    before = planted.executions()
    assert planted.run(only=frozenset({"failed"})) == EXIT.OK
    assert sorted((planted.executions() - before).values()) == [1]


def test_cells_that_were_not_run_keep_their_rows(planted: Planted) -> None:
    planted.behave({"2": "raise"})
    planted.run(sets=("seeds=1",))
    assert planted.run(only=frozenset({"failed"})) == EXIT.INCOMPLETE
    cells = planted.table("cells")
    assert len(cells) == 6 * 3
    assert set(cells.loc[cells["seed"] == 1, "status"]) == {"missing"}
    assert cells.loc[cells["seed"] == 1, "reason"].str.startswith("not run").all()
    assert planted.table("claims")["status"].tolist() == ["not measured"]


def test_failed_cells_are_run_again_by_default(planted: Planted) -> None:
    planted.behave({"1": "oom", "2": "raise"})
    assert planted.run() == EXIT.INCOMPLETE
    planted.behave({})
    assert planted.run() == EXIT.OK
    assert Counter(planted.executions().values()) == {1: 2, 2: 4}
    assert not list(planted.out.glob(".cells/*.log"))


def test_one_cell_by_its_id_or_its_name_and_no_claim(planted: Planted, capsys: pytest.CaptureFixture[str]) -> None:
    planted.run(sets=("seeds=1",))
    (cell,) = planted.table("cells").query("depth == 2")["cell"].unique()
    for name in (cell, "hybrid depth=2 seed=0"):
        assert planted.run(only_cells=(name,)) == EXIT.OK
        assert set(planted.table("cells")["cell"]) == {cell}
        assert planted.table("claims").empty
        assert planted.manifest()["only_cells"] == [name]
        assert planted.manifest()["cells_by_status"] == {"ok": 1}
        assert f"--cell {shlex.quote(name)} " in planted.manifest()["command"]
    assert set(planted.executions().values()) == {1}
    assert planted.run(only_cells=("hybrid depth=1 seed=1",)) == EXIT.OK
    assert planted.executions().total() == 4
    with pytest.raises(
        UsageError, match="--cell hybrid depth=2: planted has no such cell .* did you mean 'hybrid depth"
    ):
        planted.run(only_cells=("hybrid depth=2",))


@pytest.mark.parametrize("damage", ["{", '{"status": "ok"}', '{"status": "ok", "tables": []}', "\xff"])
def test_a_damaged_record_is_run_again_and_said(
    planted: Planted, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    planted.run(sets=("seeds=1",))
    first = planted.firm_tables()
    record = min(planted.records())
    record.write_text(damage, encoding="latin-1")
    capsys.readouterr()
    assert planted.run(sets=("seeds=1",)) == EXIT.OK
    assert f"{record}: damaged, so the cell counts as not run" in capsys.readouterr().err
    assert sorted(planted.executions().values()) == [1] * 2 + [2]
    assert planted.firm_tables() == first


def test_a_truncated_record_is_damaged(planted: Planted) -> None:
    planted.run()
    record = max(planted.records())
    record.write_text(record.read_text()[:-40])
    planted.run()
    assert sorted(planted.executions().values()) == [1] * 5 + [2]


@pytest.mark.parametrize(
    ("sets", "threads", "again"),
    [(("seeds=1", "train.learning_rate=0.3"), 1, 3), (("seeds=2",), 1, 3), (("seeds=1",), 4, 3), (("seeds=1",), 1, 0)],
)
def test_what_decides_the_numbers_decides_what_is_run(
    planted: Planted, sets: tuple[str, ...], threads: int, again: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another learning rate is another cell, a second seed adds some; threads that share a sum round it otherwise."""
    monkeypatch.setattr(case_run, "cores", lambda: 1)
    planted.run(sets=("seeds=1",), jobs=1)
    before = planted.executions().total()
    monkeypatch.setattr(case_run, "cores", lambda: threads)
    planted.run(sets=sets, jobs=1)
    assert planted.executions().total() - before == again


def test_other_data_under_the_same_path_is_run_again_and_the_same_data_elsewhere_is_not(planted: Planted) -> None:
    planted.run()
    data = planted.folder / "images.npz"
    (planted.folder / "moved.npz").write_bytes(data.read_bytes())
    planted.run(sets=(f"data.path={planted.folder / 'moved.npz'}",))
    assert set(planted.executions().values()) == {1}
    data.write_bytes(b"other images")
    planted.run()
    assert set(planted.executions().values()) == {2}


def test_a_claim_that_does_not_hold_is_exit_code_1(planted: Planted, capsys: pytest.CaptureFixture[str]) -> None:
    planted.write(test="> 1000")
    assert planted.run() == EXIT.FAILED
    assert "not held: Every cell measures" in capsys.readouterr().out


def test_dry_run_writes_nothing_and_estimates_only_from_what_was_run(
    planted: Planted, capsys: pytest.CaptureFixture[str]
) -> None:
    assert planted.run(dry_run=True) == EXIT.OK
    assert not planted.out.exists()
    assert capsys.readouterr().out == (
        "planted: 6 cells; in the store: none; to run: 6\nno estimate: nothing has been run on this machine yet\n"
    )
    planted.behave({"3": "raise"})
    planted.run()
    capsys.readouterr()
    planted.run(dry_run=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "planted: 6 cells; in the store: 4 ok, 2 error; to run: 2"
    assert lines[1].endswith("judging by 4 stored cells that ran on a test")
    planted.behave({})
    planted.run()
    capsys.readouterr()
    planted.run(dry_run=True)
    assert capsys.readouterr().out.endswith("6 ok; to run: 0\nnothing to run\n")


@pytest.mark.parametrize(
    ("probe", "device", "profile", "reason"),
    [
        ("probe", "auto", "quick", "there is no GPU here"),
        ("probe", "cpu", "quick", "the GPU is not to be used"),
        ("gpu_probe", "auto", "full", r"there is a GPU \(a test GPU\)"),
    ],
)
def test_the_profile_that_suits_the_machine(
    planted: Planted, probe: str, device: str, profile: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    planted.write(extra="[profile.quick]\nseeds = 1\n[profile.full]\nseeds = 3\n")
    planted.run(planted.targets(probe=f"fake_cells:{probe}"), device=device, dry_run=True)
    printed, progress = capsys.readouterr()
    assert re.match(f"planted: profile {profile}, because {reason}\n", progress)
    assert f"planted: {3 if profile == 'quick' else 9} cells" in printed


def test_several_gpus_of_a_kind_share_the_cells_and_leave_the_same_tables(
    planted: Planted, capsys: pytest.CaptureFixture[str]
) -> None:
    planted.behave({"1": "slow", "2": "slow", "3": "slow"})
    assert planted.run(planted.targets(probe="fake_cells:two_gpus_probe"), jobs=4) == EXIT.OK
    assert "6 of them to run, at a time: 4" in (progress := capsys.readouterr().err)
    assert "on: 2 x a test GPU\n" in progress
    assert "warning" not in progress
    dealt = Counter((planted.folder / "devices.txt").read_text().split())
    assert set(dealt) == {"cuda:0", "cuda:1"}
    assert min(dealt.values()) >= 2
    manifest, tables = planted.manifest(), planted.firm_tables()
    assert manifest["environment"]["gpus"] == {"cuda:0": {"name": "a test GPU"}, "cuda:1": {"name": "a test GPU"}}
    assert manifest["command"].startswith("PYTORCH_CUDA_ALLOC_CONF=a:b gradbench run --case ")
    assert shlex.split(manifest["command"])[-4:] == ["--device", "cuda", "--jobs", "4"]
    assert planted.run(planted.targets(probe="fake_cells:gpu_probe")) == EXIT.OK  # one of the same kind
    assert planted.manifest()["cells_from_store"] == 6
    assert planted.run(planted.targets(probe="fake_cells:gpu_probe"), fresh=True) == EXIT.OK
    assert planted.firm_tables() == tables


def test_gpus_of_two_kinds_are_warned_of_and_each_record_names_its_own(
    planted: Planted, capsys: pytest.CaptureFixture[str]
) -> None:
    planted.run(planted.targets(probe="fake_cells:gpu_probe"))
    planted.behave({"1": "slow", "2": "slow", "3": "slow"})
    assert planted.run(planted.targets(probe="fake_cells:two_kinds_probe"), jobs=4) == EXIT.OK
    assert "warning: the GPUs differ in kind" in capsys.readouterr().err
    assert planted.manifest()["cells_from_store"] == 0  # it is not known on which of the two they would run
    named = Counter(json.loads(path.read_text())["device"] for path in planted.records())
    dealt = Counter((planted.folder / "devices.txt").read_text().split())
    assert named == {"a test GPU": dealt["cuda"], "an old GPU": dealt["cuda:0"], "a new GPU": dealt["cuda:1"]}


@pytest.mark.parametrize(
    ("devices", "cores", "per_gpu", "jobs"),
    [
        (["cpu"], 16, None, 2),
        (["cpu"], 16, 1, 2),
        (["cuda"], 16, None, 12),
        (["cuda:1"], 4, None, 3),
        (["cuda"], 64, None, 12),
        (["cuda"], 64, 2, 2),
        (["cuda:0", "cuda:1"], 32, None, 24),
        (["cuda:0", "cuda:1"], 32, 1, 2),
        (["cuda:0", "cuda:1", "cuda:2", "cuda:3"], 2, None, 4),
    ],
)
def test_the_default_number_of_cells_at_a_time(
    devices: list[str], cores: int, per_gpu: int | None, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradbench.runner.plan.cores", lambda: cores)
    assert default_jobs(devices, per_gpu) == jobs


def test_a_setting_need_only_suit_the_profile_that_is_run(planted: Planted, capsys: pytest.CaptureFixture[str]) -> None:
    planted.write(extra="[train]\nsteps = 9\n[profile.quick.measure]\nat = [0]\n")
    case = planted.folder / "planted.toml"
    case.write_text(case.read_text().replace("[measure]\n", "[measure]\nat = [0, 9]\n"))
    assert planted.run(sets=("train.steps=4",), dry_run=True) == EXIT.OK
    with pytest.raises(CaseError, match="measure.at has 9, beyond train.steps = 4"):
        planted.run(planted.targets(probe="fake_cells:gpu_probe"), sets=("train.steps=4",), dry_run=True)


def test_quiet_prints_the_report_alone(planted: Planted, capsys: pytest.CaptureFixture[str]) -> None:
    planted.run(verbosity=-1)
    printed, progress = capsys.readouterr()
    assert (len(printed.splitlines()), progress) == (1, "")


def test_verbose_adds_the_verdicts(planted: Planted, capsys: pytest.CaptureFixture[str]) -> None:
    planted.run(verbosity=1)
    assert capsys.readouterr().err.count("    reconstruct: ") == 6


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"only": frozenset({"broken"})}, "--only broken: allowed are failed, missing"),
        (
            {"only": frozenset({"failed"}), "fresh": True},
            "--only failed: --fresh runs every cell again, finished or not",
        ),
        ({"jobs": 0}, "--jobs 0: "),
        ({"timeout": 0.0}, "--timeout 0: "),
        ({"cases": ("hybrid-depth-swep",)}, "did you mean 'hybrid-depth-sweep'"),
    ],
)
def test_wrong_options_are_refused(planted: Planted, changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        planted.run(**changes)


def test_mistakes_in_any_case_stop_the_run_before_it_starts(planted: Planted) -> None:
    bad = planted.folder / "bad.toml"
    bad.write_text("schema = 1\ntitle = 'bad'\nsead = 3\n")
    with pytest.raises(CaseError, match="sead"):
        planted.run(cases=(*planted.options.cases, str(bad)))
    assert not planted.executions()


def test_several_cases_one_after_another(planted: Planted) -> None:
    second = planted.folder / "second.toml"
    second.write_text((planted.folder / "planted.toml").read_text().replace("< 1000", "> 1000"))
    assert planted.run(cases=(str(planted.folder / "*.toml"),), sets=("seeds=1",)) == EXIT.FAILED
    assert (planted.out / "latest").exists()
    assert (planted.folder / "out" / "second" / "latest").exists()


def test_an_out_that_cannot_be_a_folder_is_one_sentence_before_anything_runs(planted: Planted) -> None:
    (planted.folder / "file").write_text("")
    with pytest.raises(EnvironmentError, match="file/sub/planted/.cells: cannot write there: not a directory"):
        planted.run(out=planted.folder / "file" / "sub")
    assert not planted.executions()


def test_a_disk_that_fills_up_is_one_sentence_and_loses_no_finished_cell(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []

    def full_after_five(path: Path, text: str) -> None:
        written.append(path)
        if len(written) > 1 + 4:  # the environment and four cells
            raise cannot_write(path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        write_atomic(path, text)

    with monkeypatch.context() as patch:
        patch.setattr(store, "write_atomic", full_after_five)
        with pytest.raises(EnvironmentError, match="no space left on device; the cells that finished before are kept"):
            planted.run(jobs=1)
    assert not (planted.out / "latest").exists()
    before = planted.executions()
    assert planted.run(jobs=1) == EXIT.OK
    again = planted.executions() - before
    assert again.total() == 2


def test_a_disk_that_fills_up_under_a_report_leaves_no_half_folder(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: object) -> None:
        raise cannot_write(path / "cells.csv", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    with monkeypatch.context() as patch:
        patch.setattr(folder, "write_tables", full)
        with pytest.raises(EnvironmentError, match="no space left on device"):
            planted.run(jobs=1)
    assert [path.name for path in planted.out.iterdir()] == [".cells"]
    before = planted.executions()
    assert planted.run(jobs=1) == EXIT.OK
    assert planted.executions() == before


def test_a_cell_that_ran_under_another_variable_is_run_again(planted: Planted) -> None:
    for probe in ("gpu_probe", "other_allocator_probe", "gpu_probe"):
        assert planted.run(planted.targets(probe=f"fake_cells:{probe}")) == EXIT.OK
    assert set(planted.executions().values()) == {2}
    assert planted.run(planted.targets(probe="fake_cells:other_allocator_probe")) == EXIT.OK
    assert planted.manifest()["cells_from_store"] == 6
    assert planted.manifest()["command"].startswith("PYTORCH_CUDA_ALLOC_CONF='roundup:[256:1,>:8]' gradbench run ")


def test_the_environment_of_a_stored_cell_is_kept(planted: Planted) -> None:
    planted.run()
    records = [json.loads(path.read_text()) for path in planted.records()]
    environment = json.loads((planted.out / ".cells" / f"environment-{records[0]['environment']}.json").read_text())
    assert environment["device_name"] == "a test"
    assert {record["status"] for record in records} == {"ok"}


def test_numbers_have_the_type_of_their_column(planted: Planted) -> None:
    planted.run(sets=("seeds=1",))
    frame = pd.read_csv(planted.newest() / "gradients.csv")
    assert frame["rel_error"].between(0, 1, inclusive="neither").all()
    assert str(frame["layer"].dtype) == "int64"
