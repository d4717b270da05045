"""Processes: whatever happens in one is an outcome, and none outlives the run."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

import gradbench
from gradbench.errors import EnvironmentError, UsageError
from gradbench.runner.pool import Outcome, Pool, Task, ask, least_busy


def _silent(name: str, text: str) -> None:
    pass


def _never() -> bool:
    return False


def _run(pool: Pool, tasks: list[Task]) -> dict[str, Outcome]:
    return {outcome.name: outcome for outcome in pool.run(tasks, _silent, _never)}


def test_a_result_larger_than_any_pipe_arrives_whole(tmp_path: Path) -> None:
    size = 5_000_000
    outcomes = _run(Pool(2, 1), [Task(str(n), "fake_cells:big", (size + n,), tmp_path / f"{n}.log") for n in range(3)])
    assert {name: len(outcome.result) for name, outcome in outcomes.items()} == {str(n): size + n for n in range(3)}


def test_every_task_has_a_process_of_its_own_and_is_heard(tmp_path: Path) -> None:
    heard: list[tuple[str, str]] = []
    tasks = [Task(str(n), "fake_cells:number_of_processes", (), tmp_path / f"{n}.log") for n in range(4)]
    outcomes = list(Pool(2, 1).run(tasks, lambda name, text: heard.append((name, text)), _never))
    assert len({outcome.result for outcome in outcomes} | {os.getpid()}) == 5
    assert sorted(heard) == [(str(n), "hello") for n in range(4)]


def test_tasks_are_dealt_to_the_places_in_equal_numbers(tmp_path: Path) -> None:
    tasks = [Task(str(n), "fake_cells:together", (str(tmp_path), 6, str(n)), tmp_path / f"{n}.log") for n in range(6)]
    outcomes = list(Pool(6, 1).run(tasks, _silent, _never, [("a",), ("b",), ("c",)]))
    assert sorted(outcome.result for outcome in outcomes) == ["a", "a", "b", "b", "c", "c"]
    assert all("abc"[outcome.place] == outcome.result for outcome in outcomes)


def test_while_tasks_wait_no_place_has_two_less_than_another() -> None:
    """Fake places: tasks end in a random order, and another is dealt at once."""
    draw = random.Random(5)
    for places in (1, 2, 3, 8):
        running: list[int] = []
        lows = []
        for _ in range(400):
            while len(running) < 3 * places:
                running.append(least_busy(running, places))
            counts = Counter(running)
            assert set(counts) == set(range(places))
            lows.append(min(counts.values()))
            running.pop(draw.randrange(len(running)))
            counts = Counter(running)
            running.append(dealt := least_busy(running, places))
            assert counts[dealt] == min(counts[place] for place in range(places))
        assert set(lows) == {3}


def test_infinities_and_nan_come_back() -> None:
    value = ask(Task("a", "fake_cells:answer", ([float("inf"), -float("inf"), float("nan"), 0.1, 3],)), _never)
    assert repr(value) == "[inf, -inf, nan, 0.1, 3]"


def test_an_error_for_the_user_is_raised_again() -> None:
    with pytest.raises(UsageError, match=r"data\.path: there is no such file"):
        ask(Task("a", "fake_cells:user_error", ()), _never)


def test_any_other_failure_of_a_question_is_an_environment_error() -> None:
    with pytest.raises(EnvironmentError, match="the probe failed: AttributeError"):
        ask(Task("the probe", "fake_cells:no_such_function", ()), _never)


def test_what_still_runs_when_the_run_stops_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "pids"
    tasks = [Task(str(n), "fake_sleep:sleep", (str(log),), tmp_path / f"{n}.log") for n in range(2)]
    (tmp_path / "fake_sleep.py").write_text(
        "import os, time\n"
        "def sleep(log, say):\n    open(log, 'a').write(f'{os.getpid()}\\n')\n    say('asleep')\n    time.sleep(3600)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    asleep: list[str] = []
    assert not list(Pool(2, 1).run(tasks, lambda name, text: asleep.append(name), lambda: len(asleep) == 2))
    pids = [int(line) for line in log.read_text().split()]
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_the_parent_killed_by_sigkill_takes_its_processes_along(tmp_path: Path) -> None:
    log = tmp_path / "pid"
    (tmp_path / "orphan.py").write_text(
        "import os, time\n"
        "def sleep(log, say):\n    open(log, 'w').write(str(os.getpid()))\n    time.sleep(3600)\n"
        "if __name__ == '__main__':\n"
        "    from gradbench.runner.pool import Task, ask\n"
        f"    ask(Task('a', 'orphan:sleep', ({str(log)!r},)), lambda: False, preload=())\n"
    )
    path = {"PYTHONPATH": str(Path(gradbench.__file__).parents[1])}
    with subprocess.Popen([sys.executable, str(tmp_path / "orphan.py")], env={**os.environ, **path}) as parent:
        _wait_for(lambda: log.exists() and log.read_text() != "")
        parent.kill()
    _wait_for(lambda: not _alive(int(log.read_text())))


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="there a lock has a name by default")
def test_a_lock_of_a_process_that_is_killed_is_no_leak_that_the_user_hears_of(tmp_path: Path) -> None:
    (tmp_path / "locked.py").write_text(
        "import multiprocessing, os, signal\n"
        "def lock(say):\n"
        "    lock = multiprocessing.RLock()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "if __name__ == '__main__':\n"
        "    from gradbench.runner.pool import Pool, Task\n"
        "    pool = Pool(1, 1, preload=())\n"
        "    for one in pool.run([Task('a', 'locked:lock', ())], lambda name, text: None, lambda: False):\n"
        "        print(one.reason)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(gradbench.__file__).parents[1])}
    command = [sys.executable, str(tmp_path / "locked.py")]
    ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == "killed by SIGKILL (often: out of memory)\n"
    assert ran.stderr == ""


def _alive(pid: int) -> bool:
    """Whether the process runs; a zombie that nobody has collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _wait_for(condition: object, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
