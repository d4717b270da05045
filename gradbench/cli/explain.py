"""`gradbench explain`: which layer of a cell's network spoils the gradient under a strategy?"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gradbench.cli.options import device_option, reports_option
from gradbench.cli.tables import print_sentence, print_table
from gradbench.errors import EXIT
from gradbench.history.find import find_run

if TYPE_CHECKING:
    from gradbench.measure.explain import Effect, Explanation

__all__ = ["command"]

_STYLES = {
    **dict.fromkeys(("exact", "rounding", "below-noise"), "green"),
    **dict.fromkeys(("unresolved", "comparable"), "yellow"),
    **dict.fromkeys(("harmful", "broken"), "red"),
}


@click.command(short_help="Name the layer that spoils a gradient.")
@click.argument("cell", metavar="CELL")
@click.option("--run", default="latest", show_default=True, metavar="RUN", help="The run that the cell is of.")
@click.option("--strategy", metavar="NAME", help="By default the one whose verdict in this cell is the worst.")
@click.option(
    "--step",
    type=click.IntRange(0),
    metavar="N",
    help="Train so far with stored activations; by default to where its verdict is the worst, or to the last.",
)
@device_option()
@reports_option("Where `latest` is looked for.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.pass_context
def command(
    ctx: click.Context,
    cell: str,
    run: str,
    strategy: str | None,
    step: int | None,
    device: str,
    out: Path,
    as_json: bool,
) -> None:
    """Name the first layer, from the output on, whose inclusion in a strategy spoils the gradient.

    CELL is a cell of a run, by its id in cells.csv or its name in the progress. Its network is trained once more to the
    step, with stored activations; then the strategy is applied to growing parts of it: each alone, and together with
    all that are nearer to the output. The parts of the guilty block are looked at in turn. The exit code is 1 if the
    gradient goes wrong, and 0 if it does not.
    """
    from gradbench.analysis.tables import read_run
    from gradbench.runner.again import cell_again, worst_of
    from gradbench.runner.probe import probe

    found_run = read_run(find_run(run, out))
    again, rows = cell_again(found_run, cell)
    if strategy is None:
        strategy, worst_step = worst_of(rows)
        step = worst_step if step is None else step
    if step is None:
        step = max(again.settings.measure.at, default=0)
    environment = probe(device, lambda text: click.echo(text, err=True))

    import torch

    from gradbench.measure.explain_cell import explain_cell

    torch.set_num_threads(found_run.manifest.get("threads") or torch.get_num_threads())
    found = explain_cell(again, environment["device"], strategy, step, lambda text: click.echo(text, err=True))
    if as_json:
        click.echo(json.dumps({"cell": cell, "step": step, "sentence": found.sentence, **asdict(found)}, indent=1))
    else:
        _print(found)
    ctx.exit(EXIT.FAILED if found.whole.wrong else EXIT.OK)


def _print(found: Explanation) -> None:
    print_sentence(found.sentence)
    click.echo("\nFrom the output to the input; each part alone, and with all that are nearer to the output:\n")
    headers = ["part", "alone", "error", "noise", "included", "error ", "noise ", "worst gradient"]
    rows = [
        [
            f"{'  ' if part.inside else ''}{part.name}",
            *_numbers(part.alone),
            *_numbers(part.included),
            part.included.parameter,
        ]
        for part in found.parts
    ]
    rows.append(["the whole model", "", "", "", *_numbers(found.whole), found.whole.parameter])
    print_table(headers, rows, ["error", "noise", "error ", "noise "], styles=_STYLES)


def _numbers(effect: Effect) -> list[str]:
    fault = "no gradient" if effect.missing else "buffers differ" if effect.changed_buffers else effect.verdict
    return [fault, f"{effect.rel_error:.1e}", f"{effect.noise_ratio:.1e}"]
