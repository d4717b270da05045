"""`gradbench audit`: the verdict on the gradients of a model of your own."""

from __future__ import annotations

import math
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gradbench.cli.tables import print_sentence, print_table
from gradbench.errors import EXIT

if TYPE_CHECKING:
    from gradbench.auditing import Audit

__all__ = ["command"]

_STYLES = {
    **dict.fromkeys(("exact", "rounding", "below-noise", "none"), "green"),
    **dict.fromkeys(("unresolved", "comparable", "excluded"), "yellow"),
    **dict.fromkeys(("harmful", "broken", "error", "oom"), "red"),
}


@click.command(short_help="Audit a model of your own.")
@click.argument("model", metavar="MODULE:FUNCTION")
@click.option(
    "--data",
    required=True,
    metavar="DATA",
    help="npz:FILE, a data set's name, or MODULE:FUNCTION that returns minibatches (inputs, target).",
)
@click.option(
    "--strategy", "strategies", multiple=True, required=True, metavar="NAME", help="approximate:4; repeatable."
)
@click.option(
    "--batch-size", type=click.IntRange(1), default=32, show_default=True, help="Of a data set's minibatches."
)
@click.option("--minibatches", type=click.IntRange(2), default=16, show_default=True, help="How many are measured.")
@click.option("--image-size", type=click.IntRange(4), help="Of digits and synthetic: height and width.")
@click.option("--device", default="cpu", show_default=True, metavar="DEVICE", help="cpu, cuda or cuda:N.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the weights and the images.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write a report there.")
@click.option("--explain", is_flag=True, help="Name the layer that is to blame for the worst verdict.")
@click.pass_context
def command(
    ctx: click.Context,
    model: str,
    data: str,
    strategies: tuple[str, ...],
    batch_size: int,
    minibatches: int,
    image_size: int | None,
    device: str,
    seed: int,
    report: Path | None,
    explain: bool,
) -> None:
    """Compare a model's gradients under memory-saving strategies with those of stored training.

    The function returns a model, or a model and a loss; without one it is the mean cross-entropy. Modules of the
    current directory are found. The exit code is 1 if a verdict is harmful or broken, a strategy failed, or one step
    leaves a fault: a buffer, a random stream or a dropout mask that is not stored training's.
    """
    from gradbench.auditing import audit
    from gradbench.auditing.command import build_model, load_batches

    def say(text: str) -> None:
        click.echo(text, err=True)

    built = build_model(model, device, seed)
    batches = load_batches(
        data, batch_size=batch_size, image_size=image_size, minibatches=minibatches, device=device, seed=seed
    )
    found = audit(
        built.model,
        built.loss,
        batches,
        strategies,
        minibatches=minibatches,
        title=f"Audit of {model}",
        command=shlex.join(["gradbench", *sys.argv[1:]]),
        say=say,
    )
    _print(found)
    if explain:
        print_sentence(found.explain().sentence)
    if report is not None:
        click.echo(f"report: {found.report(report)}")
    ctx.exit(EXIT.FAILED if found.failed else EXIT.OK)


def _print(found: Audit) -> None:
    rows = [[_text(value) for value in row] for row in found.summary.itertuples(index=False)]
    numbers = ["noise ratio", "error", "kept memory", "time"]
    print_table(list(found.summary.columns), rows, numbers, ["worst layer", "faults"], _STYLES)
    for line in found.remarks:
        print_sentence(line)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.2g}"
    return "" if value is None else str(value)
