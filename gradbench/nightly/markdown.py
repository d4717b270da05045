"""`summary.md`: what the night found, for a terminal, a mail or the summary of a CI job."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gradbench.nightly.outcome import Outcome, in_short
from gradbench.report.markdown import plain, table

__all__ = ["markdown"]

_MOST = 20


def markdown(date: str, outcomes: Sequence[Outcome]) -> str:
    """The night in Markdown: a line a case, then a section for each."""
    parts = [f"# Night of {date}", f"**{in_short(outcomes)}**"]
    header = ("case", "state", "claims", "run", "baseline", "on")
    rows = [
        (
            one.case,
            one.state,
            _claims(one),
            one.run or "none",
            one.baseline or "none",
            one.place or f"torch {one.torch}",
        )
        for one in outcomes
    ]
    parts.append(table(header, rows))
    for one in outcomes:
        parts += _section(one)
    return "\n\n".join(parts) + "\n"


def _section(one: Outcome) -> Iterable[str]:
    kind = " ".join((f"profile {one.profile}" if one.profile else "", *one.sets)).strip()
    yield f"## {plain(one.case)}, torch {plain(one.torch)}" + (f", {plain(kind)}" if kind else "")
    yield plain(one.sentence)
    if one.verdict:
        yield plain(one.verdict)
    for title, lines in (
        ("Regressions", one.regressions),
        ("Missing", one.missing),
        ("Improvements", one.improvements),
        ("Worse, not judged", one.advisory),
        ("Lasting changes in the history", one.changes),
        ("Claims not held", one.not_held),
    ):
        if lines:
            yield f"### {title}"
            more = [f"- and {len(lines) - _MOST} more"] if len(lines) > _MOST else []
            yield "\n".join([*(f"- {plain(line)}" for line in lines[:_MOST]), *more])


def _claims(one: Outcome) -> str:
    return ", ".join(f"{count} {status}" for status, count in (one.claims or {}).items())
