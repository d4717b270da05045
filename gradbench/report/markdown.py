"""`summary.md`: the verdict, the claims, the settings and what failed, for a terminal or a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from gradbench.analysis.axes import axis_value
from gradbench.analysis.summary import Summary
from gradbench.compare.comparison import Comparison
from gradbench.report.beside import Beside
from gradbench.report.facts import Facts
from gradbench.report.rows import ClaimRow, has_counts
from gradbench.report.words import ABSENT, accuracy, axis_name, number

__all__ = ["markdown", "plain", "table"]


def markdown(
    summary: Summary,
    facts: Facts,
    axes: Sequence[str],
    beside: Beside,
    change: Comparison | None = None,
) -> str:
    """The summary in Markdown; `change` is the run held against the one before it."""
    parts = [f"# {plain(facts.title)}", plain(facts.question), f"**{plain(summary.sentence)}**"]
    parts.append("\n".join(f"- {plain(line)}" for line in summary.others))
    parts += [f"Warning: {plain(line)}" for line in summary.warnings]
    if summary.footing:
        parts += ["## What the verdicts rest on", "\n".join(f"- {plain(line)}" for line in summary.footing)]
    if change is not None:
        parts += [f"## What changed since {plain(change.base.run)}", plain(change.sentence)]
        parts.append("\n".join(f"- {finding.kind}: {plain(finding.says)}" for finding in change.findings))
    parts += list(_beside(beside))
    if summary.faults:
        lines = [f"- {plain(str(one))}" for one in summary.faults]
        parts += ["## Faults after one step", "\n".join(lines)]
    if len(summary.by_setting):
        counted = ["counted_bytes_per_pixel"] if has_counts(summary) else []
        header = (
            *map(axis_name, axes),
            "strategy",
            "verdict",
            "noise ratio",
            "SNR (dB)",
            "accuracy",
            "time",
            "bytes/px",
            *(["counted"] if counted else []),
        )
        rows = [
            (
                *(axis_value(axis, row[axis]) for axis in axes),
                row["strategy"],
                row["verdict"] or ABSENT,
                *(number(row[name]) for name in ("noise_ratio", "min_snr_db")),
                accuracy(row["accuracy"], row["accuracy_sd"]),
                *(number(row[name]) for name in ("time_ratio", "bytes_per_pixel", *counted)),
            )
            for row in summary.by_setting.to_dict("records")
        ]
        parts += ["## Settings", table(header, rows)]
    if len(summary.failures):
        columns = [*axes, "seed", "strategy", "status", "reason"]
        failed = [[axis_value(name, row[name]) for name in columns] for row in summary.failures.to_dict("records")]
        parts += ["## What did not finish", table(tuple(map(axis_name, columns)), failed)]
    if facts.command:
        parts += ["## Repeat it", "\n".join(f"    {line}" for line in facts.command.splitlines())]
    return "\n\n".join(part for part in parts if part) + "\n"


def _beside(beside: Beside) -> Iterator[str]:
    """What the sources say and the run has, then the claims of our own."""
    if beside:
        yield "## Beside the source"
    if beside and beside.profile:
        yield f"What differs and the source's values are of the full profile; this run is of {plain(beside.profile)}."
    if beside.claims:
        yield _claims(beside.claims)
    if beside.differences:
        rows = [(one.about, one.theirs, one.ours, one.why) for one in beside.differences]
        yield table(("what differs", "the source", "ours", "why, and what it changes"), rows)
    if beside.references.curves:
        header = ("source", "quantity", "where", "values", "theirs", "ours", "ours less theirs")
        rows_of = [
            (row.label, row.quantity, row.place, str(row.values), row.theirs, row.ours, row.difference)
            for row in beside.references.curves
        ]
        yield table(header, rows_of)
    if beside.own:
        yield "## Our own claims" if beside else "## Claims"
        yield _claims(beside.own)


def _claims(rows: Sequence[ClaimRow]) -> str:
    fields = [
        (f"{row.symbol} {row.status}", row.says, row.value, row.spread, row.test, row.source, row.reason)
        for row in rows
    ]
    return table(("", "claim", "ours", "95 % interval", "test", "source", "remark"), fields)


def plain(text: str) -> str:
    """`text` on one line, with what Markdown or HTML would read as its own made harmless."""
    return re.sub(r"([\\`*_\[\]<>|&])", r"\\\1", " ".join(text.split()))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, its fields made `plain`."""
    lines = [header, ["---"] * len(header), *([plain(field) for field in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
