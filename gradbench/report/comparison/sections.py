"""What every output for readers says of a comparison, in this order: findings by kind, small changes, differences."""

from __future__ import annotations

from collections.abc import Iterator

from gradbench.compare.comparison import Comparison, Finding
from gradbench.results import TABLES

__all__ = ["HEADINGS", "covered", "findings_by_heading", "rules", "small_changes"]

_TIMES = {column.name for column in TABLES["cells"].columns if not column.firm}
#: The heading over each kind of finding.
HEADINGS = {"regression": "Regressions", "improvement": "Improvements", "advisory": "Told, not judged"}


def findings_by_heading(comparison: Comparison) -> Iterator[tuple[str, list[Finding]]]:
    """The findings under their heading, without empty headings."""
    for kind, heading in HEADINGS.items():
        found = [finding for finding in comparison.findings if finding.kind == kind]
        if found:
            yield heading, found


def small_changes(comparison: Comparison) -> list[str]:
    """The judged numbers that changed and make no finding: a line a column, new over base for each strategy."""
    tests = comparison.tests
    rows = tests[(tests["kind"] == "paired") & (tests["level"] == "all") & tests["p"].notna()]
    quiet = rows[(rows["says"] == "") & (comparison.rules.timings | ~rows["check"].isin(_TIMES))]
    return [
        f"{check}: {', '.join(f'{row.strategy} {row.ratio:.3g}' for row in some.itertuples())}"
        for check, some in quiet.groupby("check", sort=False)
    ]


def covered(comparison: Comparison) -> str:
    """How much was compared."""
    coverage = comparison.coverage
    whole = "measurements (a cell under a strategy) that the base finished"
    parts = [f"{coverage.compared} of {coverage.planned} {whole}"]
    if coverage.missing:
        parts.append(f"{len(coverage.missing)} missing")
    if coverage.added:
        parts.append(f"{coverage.added} only in the new run")
    return ", ".join(parts)


def rules(comparison: Comparison) -> str:
    """By which rules it was judged."""
    by = comparison.rules
    times = "judged" if by.timings else "told only"
    return f"size {by.size:.3g}, false-discovery rate {by.rate:.3g}, times {times}"
