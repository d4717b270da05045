"""The pages of one run: its own, and those of the comparisons in which it is the new one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gradbench.analysis.summary import summarise_run
from gradbench.analysis.tables import Run, read_run
from gradbench.compare.compare import compare
from gradbench.compare.comparison import Comparison
from gradbench.errors import UsageError
from gradbench.report.build import Link, render_run
from gradbench.site.compare_page import compare_page
from gradbench.site.links import INDEX, case_path, link
from gradbench.site.listed import Listed, Outcome, outcome_of
from gradbench.site.shelf import Entry, Pair

__all__ = ["Published", "Task", "publish"]


@dataclass(frozen=True)
class Task:
    """A run, the pairs in which it is the new one, and why it is a baseline, if it is."""

    entry: Entry
    pairs: Sequence[Pair]
    baseline: str


@dataclass(frozen=True)
class Published:
    """The HTML of the pages, by their paths, and the run for lists; `unread` says why there is none."""

    pages: Mapping[str, str]
    row: Listed | None = None
    unread: str = ""


def publish(task: Task) -> Published:
    """Render the pages of a run; a comparison with a run that cannot be read is left out.

    Raises:
        UsageError: two runs cannot be compared.
    """
    entry = task.entry
    run = _read(entry)
    if isinstance(run, str):
        return Published({}, unread=run)
    pages: dict[str, str] = {}
    outcomes: list[Outcome] = []
    change: Comparison | None = None
    for pair in task.pairs:
        base = _read(pair.base)
        if isinstance(base, Run):
            comparison = compare(base, run)
            change = comparison if "previous" in pair.why else change
            pages[pair.page] = compare_page(pair, base, run, comparison)
            outcomes.append(outcome_of(pair, comparison))
    trail = [("gradbench", link(entry.page, INDEX)), (entry.case, link(entry.page, case_path(entry.case)))]
    pages[entry.page] = render_run(run, link(entry.page, "scripts"), trail, _related(entry, outcomes), change)
    return Published(pages, Listed(entry, summarise_run(run), tuple(outcomes), task.baseline))


def _read(entry: Entry) -> Run | str:
    """The run, or why it cannot be read."""
    try:
        return read_run(entry.folder)
    except UsageError as error:
        return str(error)


def _related(entry: Entry, outcomes: Sequence[Outcome]) -> list[Link]:
    return [(f"Against {one.pair.against}: {one.standing.words}", link(entry.page, one.pair.page)) for one in outcomes]
