"""A comparison in Markdown, for a pull request or a step summary."""

from __future__ import annotations

from gradbench.compare.comparison import Comparison, Finding
from gradbench.report.comparison.sections import covered, findings_by_heading, rules, small_changes
from gradbench.report.markdown import plain, table
from gradbench.report.words import interval, number

__all__ = ["markdown"]

#: So many missing rows are named.
_NAMED = 20


def markdown(comparison: Comparison) -> str:
    """The comparison in Markdown."""
    parts = [f"**{plain(comparison.sentence)}**"]
    header = ("what", "strategy", "base", "new", "ratio", "95 % interval", "adjusted p", "pairs")
    for heading, found in findings_by_heading(comparison):
        parts += [f"## {heading}", "\n".join(f"- {plain(finding.says)}" for finding in found)]
        if heading == "Regressions":
            parts.append(table(header, [_row(finding) for finding in found]))
    if quiet := small_changes(comparison):
        parts += ["## Changed too little or by chance (new over base)", "\n".join(f"- {plain(line)}" for line in quiet)]
    if comparison.differences:
        rows = [(one.name, one.base, one.new) for one in comparison.differences]
        parts += ["## Differences", table(("", "base", "new"), rows)]
    if missing := comparison.coverage.missing:
        more = [f"- and {len(missing) - _NAMED} more"] if len(missing) > _NAMED else []
        parts += ["## Missing", "\n".join([*(f"- {plain(name)}" for name in missing[:_NAMED]), *more])]
    facts = [("base", comparison.base.folder), ("new", comparison.new.folder)]
    facts += [("compared", covered(comparison)), ("rules", rules(comparison))]
    parts += ["## Runs", table(("", ""), facts)]
    return "\n\n".join(parts) + "\n"


def _row(finding: Finding) -> tuple[str, ...]:
    return (
        finding.check,
        finding.strategy,
        *(value if isinstance(value, str) else number(value) for value in (finding.base, finding.new)),
        number(finding.ratio),
        interval(finding.low, finding.high),
        number(finding.adjusted),
        str(finding.pairs),
    )
