"""`gradbench nightly`: parse, then hand over to the night."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from gradbench.cli.options import jobs_option, reports_option, run_device_option
from gradbench.cli.tables import print_sentence, print_table
from gradbench.errors import UsageError

__all__ = ["command"]


@click.command(short_help="Do a night's work.")
@click.option("--case", "cases", multiple=True, metavar="NAME", help="A case, a glob or a .toml, instead of --tag.")
@click.option("--tag", default="nightly", show_default=True, metavar="TAG", help="Run the shipped cases with this tag.")
@click.option("--profile", metavar="NAME", help="The cases' profile; by default full with a GPU, quick without.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Change a setting; repeatable.")
@run_device_option()
@reports_option("The folder of reports, the same every night.")
@jobs_option()
@click.option("--timeout", type=float, metavar="SECONDS", help="Give up on a cell after this long.")
@click.option(
    "--keep", type=int, default=30, show_default=True, metavar="N", help="Keep the runs of the newest N nights."
)
@click.option("--date", metavar="YYYY-MM-DD", help="The night; by default today in UTC.")
@click.option("--timings", is_flag=True, help="Judge times too, which depend on the load of the machine.")
@click.option(
    "--by", type=click.Choice(["torch"]), help="Run nothing: put the newest night of each torch side by side."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "json"]),
    metavar="FORM",
    help="Of --by: table (the default), markdown or json.",
)
@click.option("-q", "--quiet", count=True, help="Only what the night found.")
@click.option("-v", "--verbose", count=True, help="Each strategy's verdict too.")
@click.pass_context
def command(
    ctx: click.Context,
    cases: tuple[str, ...],
    tag: str,
    profile: str | None,
    sets: tuple[str, ...],
    device: str,
    out: Path,
    jobs: int | None,
    timeout: float | None,
    keep: int,
    date: str | None,
    timings: bool,
    by: str | None,
    form: str | None,
    quiet: int,
    verbose: int,
) -> None:
    """Run the nightly cases afresh, hold each against its baseline, and write reports/nightly/DATE/.

    Started again on the same date it goes on where it ended. The exit code is 1 if anything regressed, 3 if cells that
    the baseline has are missing, 4 if this machine cannot run a case, and 0 also where there is no baseline yet.
    """
    if by is not None:
        _print_torches(out, date, cases, form)
        return
    if form is not None:
        raise UsageError("--format: belongs to --by torch")
    from gradbench.nightly.night import run_night
    from gradbench.nightly.options import NightOptions, today

    options = NightOptions(
        cases=cases,
        tag=tag,
        profile=profile,
        sets=sets,
        device=device,
        out=out,
        jobs=jobs,
        timeout=timeout,
        keep=keep,
        date=date or today(),
        timings=timings,
        verbosity=verbose - quiet,
        argv=("gradbench", *sys.argv[1:]),
    )
    ctx.exit(run_night(options))


def _print_torches(out: Path, date: str | None, cases: tuple[str, ...], form: str | None) -> None:
    from gradbench.nightly.torches import LEGEND, by_torch, header_of, markdown, texts_of, write

    found = by_torch(out, cases)
    path = write(found, out, date)
    if form == "json":
        click.echo(json.dumps([asdict(one) for one in found], indent=2))
    elif form == "markdown":
        click.echo(markdown(found), nl=False)
    else:
        for one in found:
            click.echo(f"{' '.join((one.case, one.profile or '', *one.sets))} on {one.device}")
            print_table(header_of(one), texts_of(one))
            for version, sentence in zip(one.versions[1:], one.sentences, strict=True):
                print_sentence(f"{version}: {sentence}")
            click.echo()
        print_sentence(LEGEND)
        click.echo(f"also in: {path}")
