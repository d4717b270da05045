"""One case of a run: what of it is stored, run the rest, write the folder, say what came out."""

from __future__ import annotations

import hashlib
import json
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from gradbench import data
from gradbench.analysis.claims import NOT_HELD
from gradbench.analysis.summary import summarise
from gradbench.case.expand import Cell, expand
from gradbench.case.schema import Settings
from gradbench.errors import EXIT
from gradbench.files import make_writable
from gradbench.runner.cases import Chosen
from gradbench.runner.fingerprint import Sources
from gradbench.runner.folder import write_run
from gradbench.runner.gate import Gate
from gradbench.runner.manifest import command, manifest, now
from gradbench.runner.options import RunOptions, Targets
from gradbench.runner.plan import Planned, chosen_cells, cores, default_jobs, in_running_order, plan
from gradbench.runner.pool import Outcome, Pool, Task, ask
from gradbench.runner.progress import Lines, duration
from gradbench.runner.store import FINISHED, Record, Store, cells_folder
from gradbench.runner.tables import absent, cell_status, failure_rows, problem
from gradbench.runner.worker import load_target

__all__ = ["CaseRun", "keyed"]


def keyed(chosen: Chosen, environment: dict[str, Any], threads: int) -> list[Planned]:
    """The cells of a case, each with the key that its result has in that environment.

    Args:
        chosen: the case.
        environment: what the probe found.
        threads: CPU threads of each cell, which decide numbers on a CPU alone.
    """
    sources = Sources()
    on_cpu = environment["device"] == "cpu"

    def deciding(settings: Settings) -> dict[str, Any]:
        """What decides a cell's numbers beside its settings, seed and data."""
        return {
            "source": sources.of(settings),
            "torch": environment["torch"],
            "device": environment["device_name"],
            "threads": threads if on_cpu else None,  # how many share a sum decides its rounding
            **({} if on_cpu else environment["variables"]),
        }

    return plan(expand(chosen.case, chosen.name), deciding, data.identity)


class CaseRun:
    """One case in one run: first `describe()` or `run()`, once."""

    def __init__(
        self,
        chosen: Chosen,
        options: RunOptions,
        targets: Targets,
        environment: dict[str, Any],
        show: Lines,
        interrupt: Callable[[], bool],
        tell: Callable[[Path], None],
    ) -> None:
        self._chosen, self._options, self._targets = chosen, options, targets
        self._environment, self._show, self._interrupt, self._tell = environment, show, interrupt, tell
        self._started, self._clock = now(), time.monotonic()
        self._out = options.out / chosen.name
        self._store = Store(cells_folder(self._out, options.night), note=show.note)
        jobs = options.jobs or default_jobs(environment["devices"], chosen.case.cells_per_gpu)
        self._pool = Pool(jobs, options.threads or max(1, cores() // jobs), options.timeout, targets.preload)
        everything = keyed(chosen, environment, self._pool.threads)
        self._planned = chosen_cells(everything, options.only_cells)
        self._statuses = {} if options.fresh else dict(self._stored_statuses())
        self._todo = [one for one in self._planned if self._is_wanted(self._statuses.get(one.key))]

    def _stored_statuses(self) -> Iterator[tuple[str, str]]:
        for one in self._planned:
            if (record := self._store.read(one.key)) is not None:
                yield one.key, record.status

    def _is_wanted(self, status: str | None) -> bool:
        if status is None:
            return "missing" in self._options.only
        return status not in FINISHED and "failed" in self._options.only

    def describe(self) -> int:
        """Print how many cells there are, how many of them are stored, and how long the others may take."""
        self._show.note(self._chosen.why)
        stored = _counts(self._statuses.values()) or "none"
        print(f"{self._chosen.name}: {len(self._planned)} cells; in the store: {stored}; to run: {len(self._todo)}")
        print(self._estimate())
        return EXIT.OK

    def _estimate(self) -> str:
        if not self._todo:
            return "nothing to run"
        device, names = self._environment["device_name"], self._names()
        past = [one for one in self._store if one.device in names and one.status in FINISHED and one.work]
        if not past:
            return "no estimate: nothing has been run on this machine yet"
        rate = sum(one.wall_seconds for one in past) / sum(one.work for one in past)
        seconds = rate * sum(one.work for one in self._todo) / min(self._pool.jobs, len(self._todo))
        return f"about {duration(seconds)}, judging by {len(past)} stored cells that ran on {device}"

    def _names(self) -> list[str]:
        """The names of the devices that cells run on, in their order."""
        gpus = self._environment["gpus"]
        return [gpus[one]["name"] for one in gpus] or [self._environment["device_name"]]

    def run(self, gates: dict[str, Gate]) -> int:
        """Run what is wanted, write the run's folder, print the result and return the exit code.

        Args:
            gates: the gate of each device.
        """
        self._show.note(self._chosen.why)
        ran = self._run_cells(gates) if self._options.only else set()
        code = EXIT.OK
        if self._statuses:
            code = self._report(ran)
        done = sum(self._statuses.get(one.key) in FINISHED for one in self._planned)
        if done < len(self._planned):
            code = max(code, EXIT.INCOMPLETE)
            lead = "interrupted: " if self._interrupt() else ""
            print(f"{lead}{done} of {len(self._planned)} cells are finished; {self._again()} goes on with the others")
        return code

    def _again(self) -> str:
        """What to call for the cells that are missing."""
        if self._options.only:
            return "the same command"
        words = command(self._chosen, self._options, self._environment, self._pool.jobs)
        return f"on such a machine `{words} --out {shlex.quote(str(self._options.out))}`"

    def _run_cells(self, gates: dict[str, Gate]) -> set[str]:
        """Run them into the store and return the keys of those that were run."""
        make_writable(self._store.folder)
        for settings in dict.fromkeys(one.cell.settings.data for one in self._todo):
            name = f"data set {settings.name}"
            ask(Task(name, self._targets.data, (settings,)), self._interrupt, self._targets.preload)
        self._show.note(
            f"{self._chosen.name}: {len(self._planned)} cells, {len(self._todo)} of them to run, at a time: "
            f"{self._pool.jobs}, CPU threads of each: {self._pool.threads}, on: {_several(self._names())}"
        )
        if len(set(self._names())) > 1:
            self._show.note(
                "warning: the GPUs differ in kind, and so may the numbers of a cell with the one that it runs on; "
                "--device cuda:N, or CUDA_VISIBLE_DEVICES, chooses"
            )
        about = {**self._environment, "jobs": self._pool.jobs, "threads": self._pool.threads}
        environment = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]
        self._store.write_environment(environment, about)
        todo = {one.label: one for one in in_running_order(self._todo)}
        if self._options.fresh:
            for one in todo.values():
                self._store.begun(one.key).unlink(missing_ok=True)
        tasks = [
            Task(label, self._targets.cell, (one.cell, self._store.begun(one.key)), self._store.log(one.key))
            for label, one in todo.items()
        ]
        ran = set()
        with (
            self._show.cells(list(todo.values()), len(self._planned)),
            closing(self._pool.run(tasks, self._show.say, self._interrupt, list(gates.items()))) as outcomes,
        ):
            for outcome in outcomes:
                one = todo[outcome.name]
                record = self._record(one, outcome, environment)
                self._store.write(one.key, record)
                if outcome.status == "ok":  # it came to its end, whatever it found
                    self._store.begun(one.key).unlink(missing_ok=True)
                if record.status in FINISHED:
                    self._store.log(one.key).unlink(missing_ok=True)
                self._statuses[one.key] = record.status
                ran.add(one.key)
                self._show.finished(one, record)
        return ran

    def _record(self, one: Planned, outcome: Outcome, environment: str) -> Record:
        if outcome.status == "ok" and (wrong := problem(outcome.result)):
            outcome = replace(outcome, status="error", reason=wrong)
        if outcome.status == "ok":
            tables = outcome.result
            status, reason = cell_status(tables)
        else:
            status, reason = outcome.status, outcome.reason
            tables = failure_rows(one.cell, status, reason, outcome.wall_seconds)
        device = self._names()[outcome.place]
        return Record(status, reason, tables, outcome.wall_seconds, one.work, environment, device, now())

    def _report(self, ran: set[str]) -> int:
        """Write the run's folder from the store and print what it says."""
        about = manifest(
            self._chosen,
            self._options,
            self._environment,
            self._pool,
            started=self._started,
            wall_seconds=time.monotonic() - self._clock,
            interrupted=self._interrupt(),
            statuses=Counter(self._statuses.get(one.key, "missing") for one in self._planned),
            ran=len(ran),
        )
        build = load_target(self._targets.report)
        case = self._chosen.case.model_copy(update={"claim": ()}) if self._options.only_cells else self._chosen.case
        folder, report = write_run(self._out, about, case, self._results(), build)
        self._tell(folder)
        summary = summarise(folder)
        if self._options.verbosity >= 0:
            print(summary.sentence)
            for line in summary.others:
                print(f"  {line}")
            for line in summary.warnings:
                print(f"warning: {line}")
            for fault in summary.faults:
                print(f"fault after one step: {fault}")
            for claim in summary.claims:
                print(_claim(claim))
            print(f"cells: {_counts(self._statuses.get(one.key, 'missing') for one in self._planned)}")
        print(f"report: {report}")
        return EXIT.FAILED if any(claim["status"] == NOT_HELD for claim in summary.claims) else EXIT.OK

    def _results(self) -> Iterator[tuple[Cell, dict[str, Any]]]:
        """Every cell with its rows, in the plan's order; one record at a time is in memory."""
        for one in self._planned:
            record = self._store.read(one.key) if one.key in self._statuses else None
            yield one.cell, absent(one.cell) if record is None else record.tables


def _counts(statuses: Any) -> str:
    return ", ".join(f"{count} {status}" for status, count in Counter(statuses).items())


def _several(names: Sequence[str]) -> str:
    """The names of devices, each once and how often.

    >>> _several(["H200", "H200"]), _several(["a CPU"])
    ('2 x H200', 'a CPU')
    """
    counts = Counter(names)
    return ", ".join(f"{count} x {name}" if count > 1 else name for name, count in counts.items())


def _claim(claim: dict[str, Any]) -> str:
    line = f"{claim['status']}: {claim['says']}"
    if claim["seeds"]:
        unit = claim["unit"]
        line += f" ({unit.amount(claim['value'])} {unit.test(claim['test'])}"
        ends = [unit.digits(claim[end]) for end in ("low", "high")]
        line += f", 95 % interval {' to '.join(ends)}" if claim["low"] == claim["low"] else ""
        line += f", {claim['seeds']} seed{'s' if claim['seeds'] > 1 else ''})"
    return f"{line}: {claim['reason']}" if claim["reason"] else line
