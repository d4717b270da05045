"""Some tasks at a time, each in a process of its own, so that whatever happens to one is a result and not the end.

Processes are forked from a server that has imported torch once (`gradbench.runner.warm`). The process that owns the
pool imports nothing for them.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from multiprocessing import connection, forkserver, get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from gradbench.errors import EnvironmentError, GradbenchError
from gradbench.runner.worker import main

__all__ = ["PRELOAD", "Outcome", "Pool", "Task", "ask", "least_busy"]

PRELOAD = ("gradbench.runner.warm",)
_TICK_SECONDS = 0.2
_LONGEST_REASON = 500


@dataclass(frozen=True)
class Task:
    """A call to make: `target` ("package.module:function") with `arguments`, what its place adds, and a `say`.

    What it prints goes to the file `log`, or where the caller's own output goes.
    """

    name: str
    target: str
    arguments: tuple[Any, ...]
    log: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a task: `ok` with its result (plain JSON values), or `oom`, `timeout`, `error` with the reason.

    `error` is the exception where the task raised one that is for the user; `place` the number of where it ran.
    """

    name: str
    status: str
    reason: str
    result: Any
    wall_seconds: float
    error: GradbenchError | None = None
    place: int = 0


@dataclass
class _Running:
    task: Task
    place: int
    process: ForkServerProcess
    messages: connection.Connection
    started: float


class Pool:
    """Runs tasks, `jobs` at a time with `threads` threads each, none longer than `timeout` seconds."""

    def __init__(self, jobs: int, threads: int, timeout: float | None = None, preload: Iterable[str] = PRELOAD) -> None:
        self.jobs = jobs
        self.threads = threads
        self._timeout = timeout
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload(list(preload))

    def run(
        self,
        tasks: Iterable[Task],
        say: Callable[[str, str], None],
        stopped: Callable[[], bool],
        places: Sequence[tuple[Any, ...]] = ((),),
    ) -> Generator[Outcome, None, None]:
        """Yield each task's outcome as it comes, in no particular order.

        Args:
            tasks: the next is started as soon as fewer than `jobs` run.
            say: `say(name, text)` hears what the tasks report.
            stopped: when it is true, the generator ends; when it ends or is closed, however that happens, the processes
                that still run are killed.
            places: what a task is given beside its own arguments where it runs, for example a device; each task runs
                at the place that has the fewest.

        Raises:
            EnvironmentError: no process can be started on this machine.
        """
        waiting = deque(tasks)
        running: list[_Running] = []
        try:
            while (waiting or running) and not stopped():
                while waiting and len(running) < self.jobs:
                    place = least_busy([one.place for one in running], len(places))
                    running.append(self._start(waiting.popleft(), place, places[place]))
                connection.wait([end for one in running for end in (one.messages, one.process.sentinel)], _TICK_SECONDS)
                for one in list(running):
                    outcome = self._look(one, say)
                    if outcome is None:
                        continue
                    running.remove(one)
                    _end(one)
                    if outcome.status == "ok" or not stopped():  # a signal to the whole group is no fault of a cell
                        yield replace(outcome, place=one.place)
        finally:
            for one in running:
                _end(one)

    def _start(self, task: Task, place: int, given: tuple[Any, ...]) -> _Running:
        receiver, sender = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=main,
            args=(
                sender,
                None if task.log is None else str(task.log),
                self.threads,
                task.target,
                (*task.arguments, *given),
            ),
        )
        try:
            _start_server()
            process.start()
        except (OSError, EOFError) as error:
            cause = str(error) or "the server that they are forked from ended"
            raise EnvironmentError(f"no process can be started for {task.name}: {cause}") from error
        sender.close()
        return _Running(task, place, process, receiver, time.monotonic())

    def _look(self, one: _Running, say: Callable[[str, str], None]) -> Outcome | None:
        """What is new of a running task: its outcome, or None while it goes on."""
        gone = one.process.exitcode is not None  # asked first: what it sent before it ended is read below
        wall = time.monotonic() - one.started
        try:
            while one.messages.poll():
                kind, *message = one.messages.recv()
                if kind == "result":
                    return Outcome(one.task.name, "ok", "", json.loads(message[0]), wall)
                if kind == "failed":
                    status, reason, error = message
                    return Outcome(one.task.name, status, reason[:_LONGEST_REASON], None, wall, error)
                say(one.task.name, message[0])
        except (EOFError, OSError):
            one.process.join()
            gone = True
        if gone:
            return Outcome(one.task.name, "error", _why_it_ended(one.process.exitcode, one.task.log), None, wall)
        if self._timeout is not None and wall > self._timeout:
            return Outcome(one.task.name, "timeout", f"ended after {self._timeout:g} s, the limit", None, wall)
        return None


def least_busy(taken: Sequence[int], places: int) -> int:
    """The place with the fewest tasks, the first of several; `taken` has the place of each task that runs.

    >>> least_busy([0, 1, 1, 2], 3)
    0
    """
    return min(range(places), key=taken.count)


def ask(task: Task, stopped: Callable[[], bool], preload: Iterable[str] = PRELOAD) -> Any:
    """The result of one task that the rest depends on; None if `stopped()` was true before it came.

    Raises:
        GradbenchError: what the task raised for the user.
        EnvironmentError: the task failed in any other way.
    """
    pool = Pool(jobs=1, threads=1, preload=preload)
    for outcome in pool.run([task], say=lambda name, text: None, stopped=stopped):
        if outcome.error is not None:
            raise outcome.error
        if outcome.status != "ok":
            raise EnvironmentError(f"{task.name} failed: {outcome.reason}")
        return outcome.result
    return None


def _start_server() -> None:
    """Start the server if need be, deaf to Ctrl-C from its first instruction: the parent alone decides what ends."""
    if threading.current_thread() is not threading.main_thread():
        forkserver.ensure_running()
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, before)


def _end(one: _Running) -> None:
    one.process.kill()
    one.process.join()
    one.process.close()
    one.messages.close()


def _why_it_ended(code: int | None, log: Path | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        cause = f"killed by {name} (often: out of memory)" if name == "SIGKILL" else f"killed by {name}"
    else:
        cause = f"the process ended with exit code {code} and no result"
    words = _last_words(log) if log is not None and log.exists() else ""
    return f"{cause}; last words: {words}"[:_LONGEST_REASON] if words else cause


def _last_words(log: Path) -> str:
    """The last line of `log`, or after a crash the line of Python that was running."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    for line, following in pairwise(lines):
        if line.endswith("(most recent call first):") and line.startswith("Current thread"):
            return following
    return lines[-1] if lines else ""
