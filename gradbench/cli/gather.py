"""`gradbench gather`: parse, then hand over to the runner."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gradbench.cli.options import cases_option, reports_option

__all__ = ["command"]


@click.command(short_help="Build a run from cells that ran elsewhere.")
@cases_option()
@click.option(
    "--profile", metavar="NAME", help="The profile that the cells ran with; by default full of a GPU's cells."
)
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="A setting of the run: seeds=1; repeatable.")
@reports_option("The folder that gets a folder for each case.")
@click.option("-q", "--quiet", count=True, help="Only the report's path and failures.")
@click.option("-v", "--verbose", count=True, help="Each strategy's verdict too.")
@click.argument("folders", nargs=-1, required=True, metavar="FROM...", type=click.Path(path_type=Path))
@click.pass_context
def command(
    ctx: click.Context,
    cases: tuple[str, ...],
    profile: str | None,
    sets: tuple[str, ...],
    out: Path,
    quiet: int,
    verbose: int,
    folders: tuple[Path, ...],
) -> None:
    """Build the run of a case from cells that ran elsewhere, in several sittings or on several machines, and run none.

    FROM are folders of reports, of a case in them, or of its cells (.cells), whatever part of the matrix each has. Name
    the whole table: with --set only what is changed in all of it. The cells, and what others had begun, go into the
    store of --out; tables and report are of all of them, and `gradbench run` goes on with those that are missing.

    A run has one kind of machine: the same GPU, or processor and number of threads, with the same torch. Of several
    kinds the one with most cells is taken; of one cell's results the newest that came to its end.
    """
    from gradbench.runner.gather import gather
    from gradbench.runner.options import RunOptions

    options = RunOptions(
        cases=cases, profile=profile, sets=sets, out=out, verbosity=verbose - quiet, argv=("gradbench", *sys.argv[1:])
    )
    ctx.exit(gather(options, folders))
