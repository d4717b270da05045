"""`gradbench run`: every case from its file to a folder of tables and a report."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from gradbench.errors import EXIT, UsageError
from gradbench.runner.case_run import CaseRun
from gradbench.runner.cases import choose, find
from gradbench.runner.gate import gates_of
from gradbench.runner.interrupt import interruptible
from gradbench.runner.options import RunOptions, Targets
from gradbench.runner.pool import Task, ask
from gradbench.runner.progress import progress

__all__ = ["RunOptions", "Targets", "run_cases"]


_TARGETS = Targets()


def run_cases(
    options: RunOptions, targets: Targets = _TARGETS, tell: Callable[[Path], None] = lambda folder: None
) -> int:
    """Run the cases one after another and return the exit code, the worst of theirs.

    Finished cells of earlier runs are not run again. The result is printed on stdout, the progress on stderr; `tell` is
    called with the folder of each run that was written.

    Raises:
        CaseError: mistakes in a case file, or an unknown name.
        UsageError: an option with a value that is not allowed.
        EnvironmentError: no such device, no data, a folder that cannot be written to, a full disk.
    """
    _check(options)
    paths = find(options)
    codes: list[int] = [EXIT.OK]
    with interruptible() as interrupt, tempfile.TemporaryDirectory(prefix="gradbench-") as temporary:
        environment = ask(Task("the probe", targets.probe, (options.device,)), interrupt, targets.preload)
        gates = {} if interrupt() else gates_of(environment["devices"], Path(temporary))
        chosen = [] if interrupt() else [choose(path, options, environment) for path in paths]
        for one in chosen:
            run = CaseRun(one, options, targets, environment, progress(options.verbosity), interrupt, tell)
            codes.append(run.describe() if options.dry_run else run.run(gates))
            if interrupt():
                break
        if interrupt():
            codes.append(EXIT.INTERRUPTED)
    return max(codes)


def _check(options: RunOptions) -> None:
    if unknown := sorted(options.only - {"failed", "missing"}):
        raise UsageError(f"--only {unknown[0]}: allowed are failed, missing")
    if options.fresh and len(options.only) == 1:
        raise UsageError(f"--only {min(options.only)}: --fresh runs every cell again, finished or not")
    if options.jobs is not None and options.jobs < 1:
        raise UsageError(f"--jobs {options.jobs}: at least 1 cell must run at a time")
    if options.timeout is not None and not options.timeout > 0:
        raise UsageError(f"--timeout {options.timeout:g}: a cell needs more than 0 seconds")
