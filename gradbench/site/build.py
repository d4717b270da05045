"""`reports/` as static pages: every run, every case, what changed from run to run, and the page that leads to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gradbench.history.baselines import baselines
from gradbench.history.table import read_history
from gradbench.site.case_page import case_page
from gradbench.site.chosen import choose
from gradbench.site.figures.nights import key_of
from gradbench.site.figures.over_nights import Accepted
from gradbench.site.folder import SiteFolder
from gradbench.site.index import CaseCard, index_page
from gradbench.site.links import INDEX, case_path, versions_path
from gradbench.site.listed import Listed
from gradbench.site.nights import read_nights
from gradbench.site.pairs import pairs_of
from gradbench.site.publish import Published, Task, publish
from gradbench.site.shelf import Pair, Shelf, read_shelf
from gradbench.site.trend import trend
from gradbench.site.versions import by_version
from gradbench.site.versions_page import versions_page
from gradbench.site.work import several

__all__ = ["Site", "build_site"]


@dataclass(frozen=True)
class Site:
    """What was built: the first page, the page of the two runs that were asked for, and how many pages there are."""

    index: Path
    chosen: Path | None
    pages: int


def build_site(reports: Path, out: Path, chosen: tuple[str, str] | None = None) -> Site:
    """Write the pages of `reports` to `out`, the first page last; pages of an earlier build that are gone are removed.

    Args:
        reports: the folder that `gradbench run` writes to; it may be absent or empty.
        out: the site's folder.
        chosen: two runs, base and new, that get a page together as well, see `gradbench.history.find.find_run`.

    Raises:
        UsageError: `chosen` names no run or two that cannot be compared, or a manifest or a history is damaged.
        EnvironmentError: `out` cannot be written to.
    """
    shelf = read_shelf(reports)
    asked = choose(shelf, reports, *chosen) if chosen else None
    tasks = _tasks(shelf, asked)
    folder = SiteFolder(out)
    with several(len(tasks), publish.__module__) as each:
        results = each(publish, tasks)
        folder.write_scripts()  # takes seconds, in which the others work
        published: list[Published] = list(results)
    for one in published:
        for page, html in one.pages.items():
            folder.write(page, html)
    rows: dict[str, list[Listed]] = {}
    for row in (one.row for one in published):
        if row is not None:
            rows.setdefault(row.entry.case, []).append(row)
    cards = [_case(case, of_case, shelf, reports, folder) for case, of_case in rows.items()]
    references = [row for of_case in rows.values() for row in of_case if row.entry in shelf.references]
    unread = [one.unread for one in published if one.unread]
    nights = read_nights(reports)
    folder.write(INDEX, index_page([card for card in cards if card.runs], references, nights, unread, reports))
    return Site(out / INDEX, out / asked.page if asked else None, folder.finish())


def _tasks(shelf: Shelf, asked: Pair | None) -> list[Task]:
    """A task for each run: those that lie elsewhere first, then each case's, the oldest first."""
    pairs = {pair.page: pair for pair in (*([asked] if asked else []), *pairs_of(shelf))}
    known = {entry.page: entry for entry in shelf.entries}
    others = {one.page: one for pair in pairs.values() for one in (pair.base, pair.new) if one.page not in known}
    tasks = []
    for page, entry in (others | known).items():
        baseline = shelf.baselines.get(entry.series)
        reason = baseline.reason if baseline is not None and baseline.run == entry.name else ""
        tasks.append(Task(entry, [pair for pair in pairs.values() if pair.new.page == page], reason))
    return tasks


def _case(case: str, rows: Sequence[Listed], shelf: Shelf, reports: Path, folder: SiteFolder) -> CaseCard:
    """Write the pages of a case; its card for the first page."""
    history = read_history(reports / case)
    own = tuple(row for row in rows if row.entry in shelf.runs.get(case, ()))
    groups = by_version([row.entry for row in own])
    versions = versions_path(case) if groups else ""
    if groups:
        folder.write(versions, versions_page(case, groups, {row.entry.page: row for row in own}))
    folder.write(case_path(case), case_page(case, rows, history, _accepted(reports / case), versions))
    return CaseCard(case, own, trend(history, own[-1]) if own else None, versions)


def _accepted(case_folder: Path) -> Accepted:
    """For each series of nights the days at which a baseline was accepted."""
    found: dict[tuple[str, ...], list[str]] = {}
    for one in baselines(case_folder):
        found.setdefault(key_of(one.series), []).append(one.accepted[:10])
    return found
