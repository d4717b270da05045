"""`reports/` as static pages: every run, every case, what changed from run to run, and the page that leads to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from gradbench.analysis.summary import summarise_run
from gradbench.analysis.tables import Run, read_run
from gradbench.compare.compare import compare
from gradbench.errors import UsageError
from gradbench.history.baselines import baselines
from gradbench.history.table import read_history
from gradbench.report.build import Link, render_run
from gradbench.site.case_page import case_page, case_path
from gradbench.site.chosen import choose
from gradbench.site.compare_page import compare_page
from gradbench.site.figures.over_nights import Accepted
from gradbench.site.folder import SiteFolder
from gradbench.site.index import INDEX, CaseCard, index_page
from gradbench.site.links import link
from gradbench.site.listed import Listed, Outcome, outcome_of
from gradbench.site.nights import read_nights
from gradbench.site.shelf import Entry, Pair, Shelf, read_shelf
from gradbench.site.trend import trend
from gradbench.site.versions import by_version
from gradbench.site.versions_page import versions_page, versions_path

__all__ = ["Site", "build_site"]

#: How many runs are held at once: two that are compared, and one that others are compared with.
_HELD = 3
_Read = Callable[[Path], Run]


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
        UsageError: `chosen` names no run or two that cannot be compared, or a manifest is damaged.
        EnvironmentError: `out` cannot be written to.
    """
    read, shelf = lru_cache(_HELD)(read_run), read_shelf(reports)
    pairs = {pair.page: pair for pair in shelf.pairs()}
    asked = choose(shelf, reports, *chosen) if chosen else None
    if asked is not None:
        compare(read(asked.base.folder), read(asked.new.folder))  # refused before anything is written
        pairs[asked.page] = asked
    folder = SiteFolder(out)
    rows, unread = _runs(shelf, list(pairs.values()), read, folder)
    cards = [_case(case, of_case, shelf, reports, folder) for case, of_case in rows.items()]
    references = [row for of_case in rows.values() for row in of_case if row.entry in shelf.references]
    nights = read_nights(reports)
    folder.write(INDEX, index_page([card for card in cards if card.runs], references, nights, unread, reports))
    return Site(out / INDEX, out / asked.page if asked else None, folder.finish())


def _runs(
    shelf: Shelf, pairs: Sequence[Pair], read: _Read, folder: SiteFolder
) -> tuple[Mapping[str, list[Listed]], list[str]]:
    """Write the pages of all runs and pairs; the runs by case, the oldest first, and what could not be read."""
    entries = {entry.page: entry for entry in shelf.entries}
    others = {entry.page: entry for pair in pairs for entry in (pair.base, pair.new) if entry.page not in entries}
    rows: dict[str, list[Listed]] = {}
    unread: dict[str, str] = {}
    for page, entry in (others | entries).items():
        try:
            run = read(entry.folder)
        except UsageError as error:
            unread[page] = str(error)
            continue
        ending = [pair for pair in pairs if pair.new.page == page and pair.base.page not in unread]
        outcomes = tuple(_pair(pair, read, folder) for pair in ending)
        baseline = shelf.baselines.get(entry.series)
        reason = baseline.reason if baseline is not None and baseline.run == entry.name else ""
        folder.write(page, render_run(run, link(page, "scripts"), _trail(entry), _related(page, outcomes)))
        rows.setdefault(entry.case, []).append(Listed(entry, summarise_run(run), outcomes, reason))
    return rows, list(unread.values())


def _pair(pair: Pair, read: _Read, folder: SiteFolder) -> Outcome:
    """Write the page of two runs."""
    base, new = read(pair.base.folder), read(pair.new.folder)
    comparison = compare(base, new)
    folder.write(pair.page, compare_page(pair, base, new, comparison))
    return outcome_of(pair, comparison)


def _trail(entry: Entry) -> list[Link]:
    """The pages above a run's page."""
    return [("gradbench", link(entry.page, INDEX)), (entry.case, link(entry.page, case_path(entry.case)))]


def _related(page: str, outcomes: Sequence[Outcome]) -> list[Link]:
    """The comparisons in which a run is the new one."""
    return [
        (f"What changed since {one.pair.against} ({one.standing.words})", link(page, one.pair.page)) for one in outcomes
    ]


def _case(case: str, rows: Sequence[Listed], shelf: Shelf, reports: Path, folder: SiteFolder) -> CaseCard:
    """Write the pages of a case; its card for the first page."""
    history, groups = read_history(reports / case), by_version(rows)
    versions = versions_path(case) if groups else ""
    if groups:
        axes = tuple(rows[-1].entry.manifest["axes"])
        folder.write(versions, versions_page(case, rows[-1].title, axes, groups))
    folder.write(case_path(case), case_page(case, rows, history, _accepted(reports / case), versions))
    own = tuple(row for row in rows if row.entry in shelf.runs.get(case, ()))
    return CaseCard(case, own, trend(history, own[-1]) if own else None, versions)


def _accepted(case_folder: Path) -> Accepted:
    """For each series of nights the days at which a baseline was accepted."""
    found: dict[tuple[str, ...], list[str]] = {}
    for one in baselines(case_folder):
        key = (one.series.profile or "", " ".join(one.series.sets), one.series.environment)
        found.setdefault(key, []).append(one.accepted[:10])
    return found
