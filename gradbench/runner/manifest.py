"""What a run was, for whoever reads or repeats it: command, case, versions, machine, what became of its cells."""

from __future__ import annotations

import hashlib
import secrets
import subprocess
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gradbench
from gradbench.results import SCHEMA
from gradbench.runner.cases import Chosen
from gradbench.runner.options import RunOptions
from gradbench.runner.pool import Pool
from gradbench.runner.store import FINISHED
from gradbench.shell import command_line

__all__ = ["command", "commit", "manifest", "now", "run_id"]


def now() -> str:
    """The time in UTC, for example 2026-11-22T01:30:00Z."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def manifest(
    chosen: Chosen,
    options: RunOptions,
    environment: dict[str, Any],
    pool: Pool,
    *,
    started: str,
    wall_seconds: float,
    interrupted: bool,
    statuses: Counter[str],
    ran: int,
) -> dict[str, Any]:
    """The manifest of one case's run.

    Args:
        chosen: the case and its profile.
        options: what was asked for.
        environment: what the probe found.
        pool: how many cells ran at once.
        started: when, UTC.
        wall_seconds: how long ago that was when the last cell ended.
        interrupted: whether the run was asked to stop.
        statuses: how many cells there are of each status.
        ran: how many of them this run ran; the others with a result are from the store.
    """
    unfinished = sum(count for status, count in statuses.items() if status not in FINISHED)
    return {
        "schema": SCHEMA,
        "run": run_id(chosen.profile),
        "state": "interrupted" if interrupted else "incomplete" if unfinished else "complete",
        "case": chosen.name,
        "title": chosen.case.title,
        "question": chosen.case.question,
        "source": chosen.case.source,
        "profile": chosen.profile,
        "profile_reason": chosen.why,
        "sets": list(options.sets),
        "only_cells": list(options.only_cells),
        "night": options.night,
        "argv": list(options.argv),
        "command": command(chosen, options, environment, pool.jobs),
        "gradbench": gradbench.__version__,
        "git": commit(),
        "axes": chosen.case.matrix,
        "seeds": list(range(chosen.case.seeds)),
        "settings": chosen.case.model_dump(mode="json", by_alias=True, exclude={"profile"}),
        "case_sha256": hashlib.sha256(chosen.text.encode()).hexdigest(),
        "case_text": chosen.text,
        "environment": environment,
        "jobs": pool.jobs,
        "threads": pool.threads,
        "timeout_seconds": options.timeout,
        "started": started,
        "wall_seconds": round(wall_seconds, 1),
        "cells_by_status": dict(statuses),
        "cells_run": ran,
        "cells_from_store": statuses.total() - statuses["missing"] - ran,
    }


def run_id(profile: str | None) -> str:
    """A new name for a run, for example 20261122T013000Z-quick-1a2b3c; names sort by time."""
    parts = (datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"), profile, secrets.token_hex(3))
    return "-".join(part for part in parts if part)


def command(chosen: Chosen, options: RunOptions, environment: dict[str, Any], jobs: int) -> str:
    """The command line that repeats a run, with nothing left to the machine it runs on."""
    words = [f"{name}={value}" for name, value in environment["variables"].items()]
    words += ["gradbench", "run", "--case", chosen.word]
    words += ["--profile", chosen.profile] if chosen.profile else []
    for entry in options.sets:
        words += ["--set", entry]
    for cell in options.only_cells:
        words += ["--cell", cell]
    return command_line([*words, "--device", environment["device"], "--jobs", str(jobs)])


def commit() -> dict[str, Any] | None:
    """The git commit of the clone that gradbench runs from and whether files differ from it; None without a clone."""
    package = Path(gradbench.__file__).resolve().parent
    top = _git(package, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != package.parent:
        return None
    return {"commit": _git(package, "rev-parse", "HEAD"), "dirty": bool(_git(package, "status", "--porcelain"))}


def _git(folder: Path, *words: str) -> str | None:
    try:
        answer = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()
