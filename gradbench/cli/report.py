"""`gradbench report`: the HTML and Markdown of a run, again from its tables."""

from __future__ import annotations

from pathlib import Path

import click

from gradbench.cli.options import reports_option
from gradbench.errors import UsageError
from gradbench.history.find import find_run

__all__ = ["command"]


@click.command(short_help="Rebuild a report.")
@click.argument("run", metavar="RUN|latest")
@reports_option("Where `latest` is looked for.")
@click.option(
    "--figures",
    "formats",
    is_flag=False,
    flag_value="svg,png,pdf",
    metavar="[svg,png,pdf]",
    help="Also save each panel of each figure, in these formats; without a value in all three.",
)
@click.option(
    "--figures-dir",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where to; by default the folder `figures` of the run.",
)
def command(run: str, out: Path, formats: str | None, figures_dir: Path | None) -> None:
    """Rebuild report.html and summary.md of a run from its CSV files, and print the report's path.

    RUN is a run's folder, `latest` for the newest run of all, or `CASE/latest`. With --figures each panel is a file for
    a paper, in light colours with its key: `errors-worst-noise-ratio-hybrid.pdf`.
    """
    from gradbench.analysis.tables import read_run
    from gradbench.report.build import build
    from gradbench.report.export import formats_in, write_figures

    wanted = formats_in(formats) if formats is not None else ()
    if figures_dir is not None and not wanted:
        raise UsageError("--figures-dir goes with --figures, which says what to save there")
    folder = find_run(run, out)
    click.echo(build(folder))
    if wanted:
        place = figures_dir or folder / "figures"
        files = write_figures(read_run(folder), place, wanted)
        click.echo(f"{len(files)} files in {place}")
