"""`gradbench compare`: what changed from one run of a case to another, and whether that is a regression."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from gradbench.cli.options import reports_option
from gradbench.errors import EXIT
from gradbench.history.find import find_run

__all__ = ["command"]

_STYLES = {"Regressions": "red", "Improvements": "green", "Missing": "yellow"}


@click.command(short_help="Compare two runs.")
@click.argument("base", metavar="BASE")
@click.argument("new", metavar="[NEW]", default="latest")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "markdown", "junit"]),
    default="table",
    show_default=True,
    help="What is printed.",
)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write there instead.")
@click.option(
    "--size",
    type=click.FloatRange(min=0),
    default=0.1,
    show_default=True,
    help="The relative change from which on a number counts: 0.1 is 10 %.",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, max=1, min_open=True, max_open=True),
    default=0.05,
    show_default=True,
    help="The false-discovery rate of the tests.",
)
@click.option("--timings", is_flag=True, help="Judge times too, which depend on the load of the machine.")
@reports_option("Where `latest` and `baseline` are looked for.")
@click.pass_context
def command(
    ctx: click.Context,
    base: str,
    new: str,
    form: str,
    output: Path | None,
    size: float,
    rate: float,
    timings: bool,
    out: Path,
) -> None:
    """Hold the run NEW, by default the newest, against the run BASE of the same case.

    A run is its folder, `latest`, `latest~N` for the N-th before it, `baseline` for the accepted run of NEW's case and
    environment, or one of these words after `CASE/`.

    Exit codes: 0 no regression; 1 a regression; 2 runs of different cases; 3 cells that BASE finished are missing.
    """
    from gradbench.analysis.tables import read_run
    from gradbench.compare.compare import compare
    from gradbench.compare.comparison import Rules
    from gradbench.files import write_atomic
    from gradbench.report.comparison import FORMATS, text

    judged = find_run(new, out)
    comparison = compare(read_run(find_run(base, out, like=judged)), read_run(judged), Rules(size, rate, timings))
    if output is not None:
        write_atomic(output, FORMATS[form](comparison))
        click.echo(f"{comparison.sentence}\n{output}")
    elif form == "table" and sys.stdout.isatty():
        _print(text(comparison, shutil.get_terminal_size().columns))
    else:
        click.echo(FORMATS[form](comparison), nl=False)
    if comparison.exit_code != EXIT.OK:
        ctx.exit(comparison.exit_code)


def _print(text: str) -> None:
    """Print the lines, headings in bold."""
    before = text
    for line in text.splitlines():
        is_heading = not before and line[:1].isupper()
        click.echo(click.style(line, bold=True, fg=_STYLES.get(line)) if is_heading else line)
        before = line
