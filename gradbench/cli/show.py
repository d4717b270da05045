"""`gradbench show`: a case as it will be run, the verdicts of a run, or a model."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gradbench.cli.options import reports_option
from gradbench.cli.tables import print_sentence, print_table
from gradbench.errors import UsageError
from gradbench.history.find import find_run, is_run

if TYPE_CHECKING:
    from gradbench.analysis.summary import Summary

__all__ = ["command"]

_STYLES = {
    **dict.fromkeys(("exact", "rounding", "below-noise", "held"), "green"),
    **dict.fromkeys(("unresolved", "comparable", "undecided", "not measured"), "yellow"),
    **dict.fromkeys(("harmful", "broken", "not held"), "red"),
}
#: Columns of `Summary.by_setting` with their headers and formats.
_NUMBERS = {
    "rel_error": ("error", ".2g"),
    "noise_ratio": ("noise", ".2g"),
    "min_snr_db": ("SNR dB", ".1f"),
    "accuracy": ("accuracy", ".3f"),
    "time_ratio": ("time", ".2f"),
    "bytes_per_pixel": ("B/pixel", ".0f"),
    "counted_bytes_per_pixel": ("counted", ".0f"),
}


@click.command(short_help="Show a case, a run or a model.")
@click.argument("what", metavar="CASE|RUN|latest|model:NAME")
@click.option("--profile", metavar="NAME", help="Of a case: apply this profile.")
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="Of a case or a model: change a setting; repeatable.",
)
@reports_option("Where `latest` is looked for.")
def command(what: str, profile: str | None, sets: tuple[str, ...], out: Path) -> None:
    """Show a case as a TOML file that says the same with every setting spelled out, or the verdicts of a run.

    A run is named by its folder, by `latest` for the newest run of all, or by `CASE/latest`. Of a network, `model:NAME`
    shows the stages, the parameters, and the memory by its source's own arithmetic beside what the source prints.
    """
    kind, _, name = what.partition(":")
    if kind == "model" and name:
        if profile is not None:
            raise UsageError(f"{what} is a model: --profile is for cases")
        from gradbench.cli.show_model import show_model

        show_model(name, sets)
    elif not is_run(what):
        _show_case(what, profile, sets)
    elif profile is not None or sets:
        raise UsageError(f"{what} is a run: --profile and --set are for cases")
    else:
        _show_run(find_run(what, out))


def _show_case(what: str, profile: str | None, sets: tuple[str, ...]) -> None:
    from gradbench.case.expand import count, places
    from gradbench.case.find import find
    from gradbench.case.load import load, load_profiles
    from gradbench.case.write import dumps

    for path in find(what):
        case = load(path, profile, sets)
        sizes = ", ".join(f"{name} {count(each)}" for name, each in load_profiles(path).items()) or "no profiles"
        using = f"with profile {profile}" if profile else "without a profile"
        settings = len({tuple(point.values()) for _, point in places(case)})
        lines = [
            f"# {path}, {using}: {count(case)} cells, {settings} settings with up to {case.seeds} seeds",
            f"# cells by profile: {sizes}",
            "# stored training, the reference, is measured beside measure.strategies",
            dumps(case),
        ]
        _print_toml("\n".join(lines))


def _print_toml(text: str) -> None:
    if not sys.stdout.isatty():
        click.echo(text)
        return
    from rich.console import Console
    from rich.syntax import Syntax

    Console().print(Syntax(text, "toml", theme="ansi_dark", background_color="default", word_wrap=True))


def _show_run(folder: Path) -> None:
    from gradbench.analysis.axes import axis_value
    from gradbench.analysis.summary import summarise

    summary = summarise(folder)
    counts = ", ".join(f"{number} {status}" for status, number in summary.counts.items())
    click.echo(f"{folder}: {counts}\n")
    print_sentence(summary.sentence)
    for line in summary.others:
        print_sentence(f"  {line}")
    for line in summary.warnings:
        print_sentence(f"warning: {line}")
    _print_settings(summary)
    if summary.claims:
        click.echo("\nClaims")
        headers = ["status", "value", "test", "95 % interval", "seeds", "claim"]
        print_table(headers, [_claim(claim) for claim in summary.claims], ["value", "seeds"], ["claim"], _STYLES)
    if summary.faults:
        click.echo("\nFaults after one step")
        faults = [[one.strategy, one.check, one.says, one.places] for one in summary.faults]
        print_table(["strategy", "check", "what is wrong", "where"], faults, prose=["what is wrong", "where"])
    if len(summary.failures):
        click.echo("\nNot ok")
        headers = [name for name in summary.failures.columns if name != "cell"]
        rows = [[axis_value(name, row[name]) for name in headers] for row in summary.failures.to_dict("records")]
        print_table(headers, rows, prose=["reason"])


def _print_settings(summary: Summary) -> None:
    """A table for each value of the axes of names, a row a setting; numbers that no setting has are left out."""
    from gradbench.analysis.axes import axis_value

    frame = summary.by_setting
    if frame.empty:
        return
    numbers = {name: form for name, form in _NUMBERS.items() if frame[name].notna().any()}
    points = list(frame.columns[: frame.columns.get_loc("strategy")])
    groups = [name for name in points if name in summary.axes.groups or frame[name].nunique() == 1]
    axes = [name for name in points if name not in groups]
    headers = [*axes, "strategy", "verdict", *(header for header, _ in numbers.values())]
    for key, rows in frame.groupby(groups, sort=False) if groups else [((), frame)]:
        title = ", ".join(f"{name} {axis_value(name, value)}" for name, value in zip(groups, key, strict=True))
        click.echo(f"\n{title}" if title else "")
        texts = [
            [
                *(axis_value(name, row[name]) for name in (*axes, "strategy")),
                _verdict(row),
                *(_text(row[name], form) for name, (_, form) in numbers.items()),
            ]
            for row in rows.to_dict("records")
        ]
        print_table(headers, texts, [*axes, *headers[len(axes) + 2 :]], styles=_STYLES)


def _verdict(row: dict[Any, Any]) -> str:
    """The verdict of all seeds, else how many have which."""
    unanimous = f"{row['verdict']} {row['seeds']}" == row["verdicts"]
    return str(row["verdict"] if unanimous else row["verdicts"])


def _claim(claim: dict[str, Any]) -> list[str]:
    unit = claim["unit"]
    interval = "" if _is_absent(claim["low"]) else " to ".join(unit.digits(claim[end]) for end in ("low", "high"))
    says = f"{claim['says']} ({claim['reason']})" if claim["reason"] else claim["says"]
    value = _text(claim["value"]) if _is_absent(claim["value"]) else unit.amount(claim["value"])
    return [claim["status"], value, unit.test(claim["test"]), interval, str(claim["seeds"]), says]


def _is_absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _text(value: Any, form: str = ".4g") -> str:
    if _is_absent(value):
        return "-"
    return format(value, form) if isinstance(value, float) else str(value)
