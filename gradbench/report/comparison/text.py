"""A comparison for a terminal: the sentence first, then what is worse, what else changed, and what differs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from gradbench.compare.comparison import Comparison
from gradbench.report.comparison.sections import covered, findings_by_heading, rules, small_changes

__all__ = ["text"]

#: So many missing rows are named.
_NAMED = 8


def text(comparison: Comparison, width: int | None = None) -> str:
    """The comparison as lines of text.

    Args:
        comparison: what was found.
        width: where lines are broken between words; without it each entry is one line, as a pipe wants them.
    """
    return "\n".join(line for entry in _entries(comparison) for line in _broken(_printable(entry), width)) + "\n"


def _entries(comparison: Comparison) -> Iterator[str]:
    yield comparison.sentence
    for heading, found in findings_by_heading(comparison):
        yield f"\n{heading}"
        yield from (f"  {finding.says}" for finding in found)
    if quiet := small_changes(comparison):
        yield "\nChanged too little or by chance (new over base)"
        yield from (f"  {line}" for line in quiet)
    if comparison.differences:
        yield "\nDifferences"
        names = max(len(one.name) for one in comparison.differences)
        yield from (f"  {one.name:{names}}  {one.base} -> {one.new}" for one in comparison.differences)
    if missing := comparison.coverage.missing:
        yield "\nMissing"
        yield from (f"  {name}" for name in missing[:_NAMED])
        if len(missing) > _NAMED:
            yield f"  and {len(missing) - _NAMED} more"
    yield ""
    yield f"base      {comparison.base.folder}"
    yield f"new       {comparison.new.folder}"
    yield f"compared  {covered(comparison)}"
    yield f"rules     {rules(comparison)}"


def _printable(entry: str) -> str:
    """The entry without what a terminal would take as a command, from the name of a layer for example."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in entry
    )


def _broken(entry: str, width: int | None) -> list[str]:
    """One entry as lines; those after the first stand further in."""
    if width is None or len(entry) <= width:
        return [entry]
    indent = " " * (len(entry) - len(entry.lstrip(" ")))
    hanging = indent + "  " if indent else ""
    return textwrap.wrap(entry, width, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False)
