"""A run that is killed, interrupted or watched from outside."""

from __future__ import annotations

import ast
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gradbench.errors import EXIT

if TYPE_CHECKING:
    from conftest import Planted

Wait = Callable[[Callable[[], object]], None]


def test_killed_and_run_again_it_gives_the_tables_of_an_undisturbed_run(planted: Planted, wait_for: Wait) -> None:
    planted.behave({"1": "slow", "2": "slow", "3": "slow"})
    assert planted.run() == EXIT.OK
    undisturbed, once = planted.firm_tables(), planted.executions()
    assert set(once.values()) == {1}

    other = planted.folder / "other"
    with planted.start(out=other, jobs=2) as process:
        wait_for(lambda: len(planted.records(other)) >= 2)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    wait_for(lambda: not _alive(group=process.pid))
    stored = planted.records(other)
    assert 2 <= len(stored) < 6
    assert not (other / "planted" / "latest").exists()

    before = planted.executions()
    assert planted.run(out=other) == EXIT.OK
    assert (planted.executions() - before).total() == 6 - len(stored)
    runs = other / "planted"
    assert planted.firm_tables(runs / (runs / "latest").read_text().strip()) == undisturbed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_keeps_what_is_finished_and_says_how_to_go_on(
    planted: Planted, wait_for: Wait, number: signal.Signals
) -> None:
    planted.behave({"1": "hang"})
    with planted.start(jobs=2, stderr=subprocess.PIPE) as process:
        wait_for(lambda: len(planted.records()) == 4 and planted.executions().total() == 6)
        os.killpg(process.pid, number)  # as a terminal does it: to every process of the run
        printed, progress = process.communicate(timeout=30)
    assert process.returncode == EXIT.INTERRUPTED, progress
    assert "interrupted: 4 of 6 cells are finished; the same command goes on with the others" in printed
    assert "Traceback" not in progress
    assert planted.manifest()["state"] == "interrupted"
    assert planted.manifest()["cells_by_status"] == {"ok": 4, "missing": 2}
    assert set(planted.table("cells").loc[lambda cells: cells["depth"] == 1, "status"]) == {"missing"}
    planted.behave({})
    before = planted.executions()
    assert planted.run() == EXIT.OK
    assert sorted((planted.executions() - before).values()) == [1, 1]


def test_interrupted_before_anything_is_finished_there_is_no_report(planted: Planted, wait_for: Wait) -> None:
    planted.behave({"1": "hang", "2": "hang", "3": "hang"})
    with planted.start(jobs=2) as process:
        wait_for(lambda: planted.executions().total() == 2)
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=30)
    assert process.returncode == EXIT.INTERRUPTED
    assert printed == "interrupted: 0 of 6 cells are finished; the same command goes on with the others\n"
    assert not (planted.out / "latest").exists()


def test_the_process_that_runs_a_case_never_imports_torch(planted: Planted) -> None:
    with planted.start(after="print(sorted(sys.modules))") as process:
        printed, _ = process.communicate(timeout=60)
    assert process.returncode == EXIT.OK
    modules = {name.partition(".")[0] for name in ast.literal_eval(printed.splitlines()[-1])}
    assert "gradbench" in modules
    assert not modules & {"torch", "torchvision"}


def test_on_a_terminal_there_is_a_bar_and_in_a_log_no_carriage_return(planted: Planted) -> None:
    planted.behave({"2": "raise"})
    reader, writer = os.openpty()
    with planted.start(stderr=writer) as process:
        os.close(writer)
        shown = _everything(reader)
    assert process.returncode == EXIT.INCOMPLETE
    assert "\x1b[" in shown
    assert "6/6 cells, " in shown
    assert "hybrid depth=2 seed=0: error in " in shown


def _alive(group: int) -> list[int]:
    """The processes of a group that run; zombies that nobody has collected do not."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            state, _, process_group = file.read_text().rpartition(")")[2].split()[:3]
            if state != "Z" and int(process_group) == group:
                found.append(int(file.parent.name))
    return found


def _everything(descriptor: int) -> str:
    parts: list[bytes] = []
    while True:
        try:
            part: Any = os.read(descriptor, 65536)
        except OSError:  # Linux says EIO where a pseudo-terminal ends
            part = b""
        if not part:
            os.close(descriptor)
            return b"".join(parts).decode(errors="replace")
        parts.append(part)
