"""The first page: every case with its newest verdict, the nights, and the runs that the documents quote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gradbench.case.find import shipped
from gradbench.report.page import render
from gradbench.site.links import INDEX, case_path, link
from gradbench.site.listed import Listed, Standing
from gradbench.site.nights import Night
from gradbench.site.spark import Trend

__all__ = ["CaseCard", "index_page"]


@dataclass(frozen=True)
class CaseCard:
    """A case on the first page.

    Attributes:
        name: the folder of its runs.
        runs: the oldest first; none where all that there is lies elsewhere.
        trend: its error over the nights, if there were two.
        versions: the page that compares PyTorch versions, if there is one.
    """

    name: str
    runs: tuple[Listed, ...]
    trend: Trend | None = None
    versions: str = ""

    @property
    def page(self) -> str:
        """Its page, from the root of the site."""
        return case_path(self.name)

    @property
    def count(self) -> int:
        """How many runs there are."""
        return len(self.runs)

    @property
    def newest(self) -> Listed:
        """The newest run of all."""
        return self.runs[-1]

    @property
    def elsewhere(self) -> tuple[Listed, ...]:
        """The newest runs of other profiles and environments that stand worse than the newest of all."""
        newest = {row.entry.series: row for row in self.runs}
        return tuple(row for row in newest.values() if row.standing.rank < self.newest.standing.rank)

    @property
    def worst(self) -> Standing:
        """The worst of all that the card shows."""
        return min((row.standing for row in (self.newest, *self.elsewhere)), key=lambda one: one.rank)


def index_page(
    cases: Sequence[CaseCard],
    references: Sequence[Listed],
    nights: Sequence[Night],
    unread: Sequence[str],
    reports: Path,
) -> str:
    """The HTML of the first page; cases that want a look stand first."""
    return render(
        "index",
        scripts="scripts",
        package="gradbench.site",
        headline=_headline(cases, references),
        cases=sorted(cases, key=lambda case: (case.worst.rank, case.name)),
        references=references,
        nights=nights,
        pages={row.entry.page for case in cases for row in case.runs},
        unread=unread,
        reports=reports,
        first=next(iter(shipped()), "CASE"),
        trail=(),
        place="reports",
        to=partial(link, INDEX),
    )


def _headline(cases: Sequence[CaseCard], references: Sequence[Listed]) -> str:
    """How the cases stand, in one line."""
    if not cases:
        return "Reference runs" if references else "No run yet"
    tones = [case.worst.tone for case in cases]
    if len(cases) == 1:
        return {"bad": "1 case, with a regression", "look": "1 case, to look at", "good": "1 case, fine"}[tones[0]]
    words = {"bad": "with a regression", "look": "to look at"}
    parts = [f"{tones.count(tone)} {text}" for tone, text in words.items() if tone in tones]
    return f"{len(cases)} cases: {', '.join(parts)}" if parts else f"{len(cases)} cases, all fine"
