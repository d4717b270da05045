"""`gradbench report`: the HTML and Markdown of a run, again from its tables."""

from __future__ import annotations

from pathlib import Path

import click

from gradbench.history.find import find_run

__all__ = ["command"]


@click.command(short_help="Rebuild a report.")
@click.argument("run", metavar="RUN|latest")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("reports"),
    show_default=True,
    metavar="DIR",
    help="Where `latest` is looked for.",
)
def command(run: str, out: Path) -> None:
    """Rebuild report.html and summary.md of a run from its CSV files, and print the report's path.

    RUN is a run's folder, `latest` for the newest run of all, or `CASE/latest`.
    """
    from gradbench.report.build import build

    click.echo(build(find_run(run, out)))
