"""`gradbench calibrate`: plant errors of known size, and count how often the measurement finds them."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING

import click

from gradbench.cli.tables import print_table
from gradbench.errors import EXIT

if TYPE_CHECKING:
    from gradbench.calibrate.count import Count
    from gradbench.calibrate.faults import Found

__all__ = ["command"]

_STYLES = {"ok": "green", "not": "bold red"}


@click.command(short_help="Measure where the answer is known.")
@click.option("--repetitions", type=click.IntRange(2), default=400, show_default=True, help="Of each planted error.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of every random number.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.pass_context
def command(ctx: click.Context, repetitions: int, seed: int, as_json: bool) -> None:
    """Measure where the answer is known: is each number inside its own 95 % interval as often as that?

    Errors of known size go through the pipeline that measures a run; a line counts how often the interval held what was
    planted, with the 99.9 % binomial interval of that share, and is ok if 95 % is in its reach. Then faults are
    planted, each with the check that must find it. The exit code is 1 if a line is not ok.
    """
    from gradbench.calibrate.suite import calibrate

    found = calibrate(repetitions, seed, lambda text: click.echo(text, err=True))
    if as_json:
        click.echo(json.dumps({"repetitions": repetitions, "seed": seed, "ok": found.ok, **asdict(found)}, indent=1))
    else:
        for group, counts in groupby(found.counts, lambda one: one.group):
            click.echo(f"\n{group}\n")
            _print_counts(list(counts))
        click.echo("\nplanted faults\n")
        _print_faults(found.faults)
        click.echo(f"\n{found.right} of {found.lines} lines are ok")
    ctx.exit(EXIT.OK if found.ok else EXIT.FAILED)


def _print_counts(counts: list[Count]) -> None:
    rows = []
    for one in counts:
        error = f" +- {one.standard_error:.1g}" if one.of > 1 else ""
        rows.append(
            [
                one.what,
                f"{one.planted:.7g}" if one.of == 1 else f"{one.planted:.4g}",
                f"{one.measured:.7g}" if one.of == 1 else f"{one.measured:.4g}{error}",
                f"{one.inside} of {one.of}",
                f"{one.low:.3f} to {one.high:.3f}" if one.of > 1 else "",
                "ok" if one.ok else "not",
            ]
        )
    print_table(
        ["what", "planted", "measured", "inside", "binomial interval", ""],
        rows,
        numbers=["planted", "measured", "inside"],
        prose=["what"],
        styles=_STYLES,
    )


def _print_faults(faults: tuple[Found, ...]) -> None:
    rows = []
    for one in faults:
        others = [name for name in one.caught if name != one.check]
        named = one.caught.get(one.check, "not found") if one.check else ", ".join(one.caught) or "nothing"
        row = [one.fault, one.check or "none", named, ", ".join(others), one.blamed or "nothing"]
        rows.append([*row, "ok" if one.ok else "not"])
    print_table(
        ["planted", "check", "names", "found as well by", "explain names", ""], rows, prose=["planted"], styles=_STYLES
    )
