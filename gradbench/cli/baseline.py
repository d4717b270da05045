"""`gradbench baseline`: accept a run as what later ones are held against, and list what was accepted."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from gradbench.cli.options import reports_option
from gradbench.cli.tables import print_table
from gradbench.errors import UsageError
from gradbench.history.baselines import FILE, Baseline, accept, baselines, find_baseline
from gradbench.history.find import find_run
from gradbench.history.series import Series

__all__ = ["command"]

_OUT = reports_option("The folder that has a folder for each case.")


@click.group(short_help="Accept or list baselines.", subcommand_metavar="accept|list [ARGUMENTS]...")
def command() -> None:
    """Accept a run as what later ones are held against, or list what was accepted.

    A baseline is for one case, profile, sets and environment (torch, device, on a CPU the threads); the newest that was
    accepted for them counts.
    """


@command.command("accept", short_help="Accept a run.")
@click.argument("run", metavar="RUN|latest")
@click.option("--reason", required=True, metavar="TEXT", help="Why this run is right; kept beside it.")
@click.option("--incomplete", is_flag=True, help="Accept a run of which cells are missing.")
@_OUT
def _accept(run: str, reason: str, incomplete: bool, out: Path) -> None:
    """Make RUN the baseline of its case, profile, sets and environment.

    RUN is a run's folder, `latest`, `latest~N`, or one of these words after `CASE/`.
    """
    folder = find_run(run, out)
    one = accept(folder, reason, incomplete)
    click.echo(f"{folder} is now the baseline of {one.series.case}, {_kind(one.series)}")
    click.echo(f"on: {one.where}")


@command.command("list", short_help="List baselines.")
@click.argument("cases", nargs=-1, metavar="[CASE]...")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list, one object an accepted run.")
@_OUT
def _list(cases: tuple[str, ...], as_json: bool, out: Path) -> None:
    """List every accepted run, the oldest first; `counts` marks those that later runs are held against."""
    found = sorted(file.parent for file in out.glob(f"*/{FILE}"))
    if unknown := [case for case in cases if out / case not in found]:
        raise UsageError(f"{out / unknown[0]}: no baseline was accepted there")
    accepted = [
        (one, find_baseline(folder, one.series) == one)
        for folder in found
        if not cases or folder.name in cases
        for one in baselines(folder)
    ]
    if as_json:
        click.echo(json.dumps([{**asdict(one), "counts": counts} for one, counts in accepted], indent=2))
    elif not accepted:
        click.echo(f"{out}: no baseline was accepted yet; `gradbench baseline accept RUN --reason TEXT` accepts one")
    else:
        headers = ["case", "for", "run", "counts", "accepted", "reason", "on"]
        print_table(headers, [_row(one, counts) for one, counts in accepted], prose=["reason", "on"])


def _row(one: Baseline, counts: bool) -> list[str]:
    mark = "yes" if counts else ""
    return [one.series.case, _kind(one.series), one.run, mark, one.accepted, one.reason, one.where]


def _kind(series: Series) -> str:
    """The profile and the sets in words."""
    return " ".join((f"profile {series.profile}" if series.profile else "no profile", *series.sets))
