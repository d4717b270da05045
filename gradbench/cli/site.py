"""`gradbench site`: the folder of reports as static pages."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


@click.command(short_help="Build the site.")
@click.option(
    "--reports",
    type=click.Path(path_type=Path),
    default=Path("reports"),
    show_default=True,
    metavar="DIR",
    help="The folder that `gradbench run` writes to.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("site"),
    show_default=True,
    metavar="DIR",
    help="Where the pages go.",
)
@click.option(
    "--compare",
    "chosen",
    nargs=2,
    metavar="BASE NEW",
    help="Two runs that get a page together as well: folders, `latest`, `latest~1` or `baseline`.",
)
def command(reports: Path, out: Path, chosen: tuple[str, str] | None) -> None:
    """Turn the reports into static pages that open from disk: an index, a page a case, a run and a comparison.

    Each run is compared with the one before it of the same case, profile and environment, and the newest with its
    accepted baseline. Prints the path of the index, or of the comparison that was asked for.
    """
    from gradbench.site.build import build_site

    site = build_site(reports, out, chosen)
    click.echo(f"{site.chosen or site.index}")
