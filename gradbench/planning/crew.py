"""Calls beside each other, each in a process of its own, or one after the other in this one."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradbench.runner.interrupt import interruptible
from gradbench.runner.pool import PRELOAD, Pool, Task

__all__ = ["Call", "Crew", "Progress", "work"]

_PRELOAD = (*PRELOAD, "gradbench.planning.calls", "gradbench.planning.subject")

Results = Iterator[tuple[int, dict[str, Any]]]


@dataclass(frozen=True)
class Call:
    """A function of a module, called with `arguments`, that returns a dict which can be written as JSON.

    Attributes:
        of: what it is made for, as the user calls it; several calls may be for the same.
        function: what is called.
        arguments: which can be pickled.
    """

    of: str
    function: Callable[..., dict[str, Any]]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Progress:
    """How far a plan is.

    Attributes:
        doing: what is being done: "beginning", "counting", "checking" or "timing".
        done: for how many it is done.
        total: for how many it is to be done.
        ended: for what it has just been done; empty where for nothing.
        running: for what it is being done.
        found: what the calls returned for what it has just been done for, all of them together.
    """

    doing: str
    done: int
    total: int
    ended: str
    running: tuple[str, ...]
    found: dict[str, Any]


class Crew:
    """Makes calls, up to `jobs` at a time; 1 makes them in this process. `tell` hears how far they are.

    What a process prints, the warnings of the code of others among it, is not shown.
    """

    def __init__(self, jobs: int, tell: Callable[[Progress], None]) -> None:
        self._jobs, self._tell = jobs, tell

    def make(self, doing: str, calls: Sequence[Call], most: int | None = None) -> list[dict[str, Any]]:
        """Return what each call returned; {"reason": ...} of one whose process ended without.

        Args:
            doing: what the calls do.
            calls: to make.
            most: how many at a time at most; None for as many as there are jobs.

        Raises:
            GradbenchError: a call raised it.
            KeyboardInterrupt: the user wants no more.
        """
        left = Counter(call.of for call in calls)
        total = len(left)
        running: list[str] = []
        results: dict[int, dict[str, Any]] = {}

        def tell(ended: str = "") -> None:
            found: dict[str, Any] = {}
            for place, result in results.items():
                if calls[place].of == ended:
                    found |= result
            self._tell(Progress(doing, total - len(left), total, ended, tuple(running), found))

        def began(of: str) -> None:
            if of not in running:
                running.append(of)
                tell()

        jobs = min(self._jobs, most or self._jobs)
        made = self._here(calls, began) if self._jobs == 1 else self._beside(calls, began, jobs)
        for place, result in made:
            results[place] = result
            of = calls[place].of
            left[of] -= 1
            if not left[of]:
                del left[of]
                running.remove(of)
                tell(of)
        return [results[place] for place in range(len(calls))]

    def _here(self, calls: Sequence[Call], began: Callable[[str], None]) -> Results:
        for place, call in enumerate(calls):
            began(call.of)
            yield place, call.function(*call.arguments)

    def _beside(self, calls: Sequence[Call], began: Callable[[str], None], jobs: int) -> Results:
        with tempfile.TemporaryDirectory(prefix="gradbench-") as logs, interruptible() as interrupt:
            tasks = [
                Task(str(place), f"{__name__}:work", (call.function, call.arguments), Path(logs, str(place)))
                for place, call in enumerate(calls)
            ]
            pool = Pool(jobs, threads=1, preload=_PRELOAD)
            with closing(pool.run(tasks, lambda place, _: began(calls[int(place)].of), interrupt)) as outcomes:
                for outcome in outcomes:
                    if outcome.error is not None:
                        raise outcome.error
                    place = int(outcome.name)
                    began(calls[place].of)
                    yield place, outcome.result if outcome.status == "ok" else {"reason": outcome.reason}
            if interrupt():
                raise KeyboardInterrupt


def work(
    function: Callable[..., dict[str, Any]], arguments: tuple[Any, ...], say: Callable[[str], None]
) -> dict[str, Any]:
    """Make a call in a process of its own."""
    say("began")
    return function(*arguments)
