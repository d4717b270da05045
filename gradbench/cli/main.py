"""The command itself: which verbs there are, and what becomes of an error."""

from __future__ import annotations

import errno
import gc
import importlib
from typing import Any

import click

import gradbench
from gradbench.errors import EXIT, GradbenchError, did_you_mean

__all__ = ["cli", "main"]

#: Each verb's file in this package, in the order of the help text, with its line there.
VERBS = {
    "run": "Run cases: every cell that is not finished yet, then the report.",
    "gather": "Build a run from cells that ran elsewhere, in several sittings or on several machines.",
    "list": "List the shipped cases, or the strategies, models or data sets.",
    "show": "Show a case with its profile applied, or the verdicts of a run.",
    "report": "Rebuild a run's report from its tables.",
    "audit": "Audit a model of your own: exit code 1 on a verdict or a fault that spoils training.",
    "explain": "Name the layer of a cell's network whose inclusion spoils the gradient.",
    "compare": "Compare two runs: exit code 1 on a regression, 3 when cells are missing.",
    "baseline": "Accept a run as what later ones are held against, or list what was accepted.",
    "nightly": "Run the nightly cases, hold each against its baseline, add to the history.",
    "site": "Turn the folder of reports into static pages: an index, cases, runs, comparisons.",
    "validate": "Check case files and report every mistake at once.",
    "plan": "Say how large a batch, and how deep a network, fit into a memory with each strategy.",
    "calibrate": "Measure where the answer is known: exit code 1 if a number is not where it says.",
    "doctor": "Check this machine: each line is ok, or says what to do.",
}
#: The ways in which a disk refuses.
_REFUSALS = {errno.EACCES, errno.EDQUOT, errno.ENOSPC, errno.EPERM, errno.EROFS}


class Verbs(click.Group):
    """Imports a verb's file when the verb is called, and turns errors for the user into a line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, without importing any."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one verb."""
        if cmd_name not in VERBS:
            return None
        gc.disable()  # what an import makes stays, so that looking for garbage meanwhile only takes time
        try:
            command: click.Command = importlib.import_module(f"gradbench.cli.{cmd_name}").command
        finally:
            gc.enable()
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; an unknown one is answered with the nearest."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            ctx.fail(f"unknown verb {args[0]!r}: allowed are {', '.join(VERBS)}{did_you_mean(args[0], VERBS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs into the help text from their table."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb and give every expected end its exit code."""
        try:
            return super().invoke(ctx)
        except GradbenchError as error:
            click.echo(str(error), err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(EXIT.INTERRUPTED)
        except OSError as error:
            if error.errno not in _REFUSALS:
                raise
            reason = (error.strerror or str(error)).lower()
            click.echo(f"{error.filename}: {reason}" if error.filename else reason, err=True)
            ctx.exit(EXIT.ENVIRONMENT)


@click.group(
    cls=Verbs,
    subcommand_metavar="VERB [ARGUMENTS]...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(gradbench.__version__, message="gradbench %(version)s")
def cli() -> None:
    """Are the weight gradients of memory-saving training still right, layer by layer, and at what cost?

    Start with `gradbench run --case hybrid-depth-sweep --profile quick`, which needs no GPU and no download.

    Exit codes: 0 all fine; 1 a claim failed; 2 bad usage or a bad case file; 3 some cells did not finish; 4 this
    machine cannot do it; 130 interrupted.
    """


def main() -> None:
    """Run the command line; this is what the `gradbench` script calls."""
    cli(prog_name="gradbench")
