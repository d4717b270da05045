"""`gradbench run`: parse, then hand over to the runner."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gradbench.cli.options import cases_option, jobs_option, reports_option, run_device_option

__all__ = ["command"]


@click.command(short_help="Run cases.")
@cases_option()
@click.option("--profile", metavar="NAME", help="The case's profile; by default full with a GPU, quick without.")
@click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE", help="Change a setting: train.steps=100; repeatable."
)
@run_device_option()
@reports_option("The folder that gets a folder for each case.")
@jobs_option()
@click.option(
    "--only",
    default="failed,missing",
    show_default=True,
    metavar="WHICH",
    help="Of the cells not finished, run the failed, the missing (never run), or both.",
)
@click.option(
    "--cell",
    "only_cells",
    multiple=True,
    metavar="ID",
    help="Of the case's cells, only this one, by its id or its name in the progress; repeatable. Decides no claim.",
)
@click.option("--fresh", is_flag=True, help="Run every cell again, finished or not.")
@click.option("--dry-run", is_flag=True, help="Say how many cells there are and how long they may take; run none.")
@click.option("--timeout", type=float, metavar="SECONDS", help="Give up on a cell after this long.")
@click.option("-q", "--quiet", count=True, help="Only the report's path and failures.")
@click.option("-v", "--verbose", count=True, help="Each strategy's verdict too.")
@click.pass_context
def command(
    ctx: click.Context,
    cases: tuple[str, ...],
    profile: str | None,
    sets: tuple[str, ...],
    device: str,
    out: Path,
    jobs: int | None,
    only: str,
    only_cells: tuple[str, ...],
    fresh: bool,
    dry_run: bool,
    timeout: float | None,
    quiet: int,
    verbose: int,
) -> None:
    """Run cases: every cell that is not finished yet, then write tables and a report.

    Finished cells are kept under a hash of all that decides their numbers, so the same command goes on where an
    interrupted one ended. Results go to stdout, progress to stderr.
    """
    from gradbench.runner.run import RunOptions, run_cases

    options = RunOptions(
        cases=cases,
        profile=profile,
        sets=sets,
        device=device,
        out=out,
        jobs=jobs,
        only=frozenset(word.strip() for word in only.split(",")),
        only_cells=only_cells,
        fresh=fresh,
        dry_run=dry_run,
        timeout=timeout,
        verbosity=verbose - quiet,
        argv=("gradbench", *sys.argv[1:]),
    )
    ctx.exit(run_cases(options))
