"""Processes find what one process does, and whatever happens in one stays its own."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from typing import Any

import pytest

from gradbench.errors import UsageError
from gradbench.planning.crew import Call, Crew, Progress
from gradbench.planning.plan import make_plan
from tests.planning.networks import fatal_subject, small_subject


def double(number: int) -> dict[str, Any]:
    return {"doubled": 2 * number, "process": os.getpid()}


def give(found: dict[str, Any]) -> dict[str, Any]:
    return found


def crash() -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGSEGV)
    return {}


def refuse() -> dict[str, Any]:
    raise UsageError("that cannot be")


def talk() -> dict[str, Any]:
    print("much")
    warnings.warn("of no use", stacklevel=1)
    return {}


def sleep() -> dict[str, Any]:
    time.sleep(60)
    return {}


@pytest.mark.parametrize("jobs", [1, 3])
def test_results_come_in_the_order_of_the_calls_and_progress_counts_what_they_are_for(jobs: int) -> None:
    told: list[Progress] = []
    calls = [Call(of, double, (place,)) for place, of in enumerate("abab")]
    results = Crew(jobs, told.append).make("counting", calls)
    assert [result["doubled"] for result in results] == [0, 2, 4, 6]
    assert len({result["process"] for result in results} - {os.getpid()}) == (0 if jobs == 1 else 4)
    ended = [progress for progress in told if progress.ended]
    assert sorted(progress.ended for progress in ended) == ["a", "b"]
    assert [(progress.done, progress.total) for progress in ended] == [(1, 2), (2, 2)]
    assert told[-1].running == ()


@pytest.mark.parametrize("jobs", [1, 3])
def test_what_was_found_is_told_when_all_of_it_is_there(jobs: int) -> None:
    told: list[Progress] = []
    parts = [{"of": of, part: of + part} for part in ("batch", "depth") for of in "ab"]
    Crew(jobs, told.append).make("counting", [Call(part["of"], give, (part,)) for part in parts])
    found = {progress.ended: progress.found for progress in told if progress.ended}
    assert found == {of: {"of": of, "batch": f"{of}batch", "depth": f"{of}depth"} for of in "ab"}
    assert all(progress.found == {} for progress in told if not progress.ended)


def test_a_crash_is_the_reason_of_its_call_alone() -> None:
    crashed, fine = Crew(2, lambda progress: None).make("x", [Call("a", crash, ()), Call("b", double, (1,))])
    assert crashed["reason"].startswith("killed by SIGSEGV")
    assert fine["doubled"] == 2


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_is_for_the_user_is_raised(jobs: int) -> None:
    with pytest.raises(UsageError, match="^that cannot be$"):
        Crew(jobs, lambda progress: None).make("x", [Call("a", refuse, ())])


def test_what_a_process_prints_is_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    Crew(2, lambda progress: None).make("x", [Call("a", talk, ())])
    assert capfd.readouterr() == ("", "")


def test_no_more_than_asked_for_run_at_a_time() -> None:
    running: list[int] = []
    Crew(4, lambda progress: running.append(len(progress.running))).make(
        "x", [Call(of, double, (0,)) for of in "abcd"], most=1
    )
    assert max(running) == 1


def test_ctrl_c_ends_it_at_once() -> None:
    """The signal comes when the process has begun to work."""

    def press(progress: Progress) -> None:
        if progress.running:
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        Crew(2, press).make("x", [Call("a", sleep, ())])
    assert time.monotonic() - started < 50  # the call alone takes 60


def test_a_plan_by_several_processes_is_that_of_one() -> None:
    """With a process for each strategy, with one for each half of a strategy, and without any."""
    names = ("stored", "reconstruct", "saved-cast:fp16", "compile:0.5")
    alone, *others = (make_plan(small_subject(), 1_600_000, 24, names, jobs=jobs) for jobs in (1, 2, 4))
    assert [bool(room.reason) for room in alone.rooms] == [False, True, False, True]
    assert all(room.largest_batch and room.largest_depth for room in alone.rooms[::2])
    assert others == [alone, alone]


def test_a_process_that_is_killed_is_a_reason_in_the_plan() -> None:
    (room,) = make_plan(fatal_subject(), 10**6, 4, ["stored"], jobs=2).rooms
    assert "killed by SIGKILL" in room.reason
