"""The verdict, computed from the settings: one sentence on the case's first strategy, lines on the others."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pandas as pd

from gradbench.analysis.axes import Axes, axis_value, setting
from gradbench.results import RIGHT

__all__ = ["other_lines", "verdict_sentence"]

_PHRASES = {
    "": "not measured",
    "undefined": "all zero",
    "exact": "exact",
    "rounding": "right to rounding",
    "below-noise": "below the noise of SGD",
    "unresolved": "unresolved",
    "comparable": "comparable to the noise of SGD",
    "harmful": "harmful",
    "broken": "broken",
}
#: What a strategy does, for the beginning of a sentence.
_NOUNS = {
    "reconstruct": "reconstruction",
    "checkpoint": "checkpointing",
    "approximate": "approximation",
    "naive-quantize": "naive quantisation",
}


@dataclass(frozen=True)
class _Stretch:
    """Neighbouring values of the axis with one verdict; right verdicts in a row are one stretch, named by the worst."""

    verdict: str
    first: float
    last: float


_Course = tuple[_Stretch, ...]


def verdict_sentence(settings: pd.DataFrame, axes: Axes, first: str = "") -> str:
    """Say in one sentence where the gradients of the first strategy are right, and where they are not.

    Args:
        settings: `by_setting`'s rows.
        axes: the roles of the axes; the sentence speaks of the reference values of the other numeric axes.
        first: the strategy that the case names first; without it, or if it was not planned, the first that was.
    """
    courses = _courses(settings, axes)
    if not courses:
        return "No strategy was compared with stored training, so there is no verdict."
    strategy = first if first in courses else next(iter(courses))
    noun = _NOUNS.get(strategy.partition(":")[0])
    subject = f"{noun} ({strategy})" if noun else f"the strategy {strategy}"
    mine = courses[strategy]
    if not any(stretch.verdict for course in mine.values() for stretch in course):
        return _capital(f"{subject} was not measured.")
    alike = _alike(mine)
    keep = {course: groups for course, groups in alike.items() if len(course) == 1 and course[0].verdict in RIGHT}
    lose = {course: groups for course, groups in alike.items() if course not in keep}
    parts = []
    if keep:
        kept = [f"{_of(groups, mine, axes)}{_said(course, axes.along)}" for course, groups in keep.items()]
        parts.append(f"{subject} keeps every weight gradient {_listed(kept)}")
    for course, groups in lose.items():
        worst = "the worst" if parts else f"with {subject} the worst weight gradient"
        parts.append(f"{worst} {_of(groups, mine, axes)}is {_said(course, axes.along, losses=True)}")
    return _capital(f"{'; '.join(parts)}{_held(axes)}.")


def other_lines(settings: pd.DataFrame, axes: Axes, first: str | None = "") -> tuple[str, ...]:
    """Say the same of the other strategies: "checkpoint, offload: exact at every depth up to 28".

    Strategies with the same verdicts share a line. The arguments are those of `verdict_sentence`; with None for `first`
    there is no sentence, and a line on every strategy says at which values of the other numeric axes it holds.
    """
    courses = _courses(settings, axes)
    spoken = None if first is None else first if first in courses else next(iter(courses), None)
    lines: dict[str, list[str]] = {}
    for strategy, mine in courses.items():
        if strategy != spoken:
            alike = _alike(mine)
            said = [
                f"{'' if len(alike) == 1 else f'{_grouped(groups, mine)} '}{_said(course, axes.along)}"
                for course, groups in alike.items()
            ]
            lines.setdefault("; ".join(said), []).append(strategy)
    held = "" if spoken else _held(axes)
    return tuple(f"{', '.join(strategies)}: {said}{held}" for said, strategies in lines.items())


def _courses(settings: pd.DataFrame, axes: Axes) -> dict[str, dict[str, _Course]]:
    """For each strategy but stored, and each value of the axes of names, the verdicts along the axis."""
    if settings.empty:
        return {}
    rows = axes.at_reference(settings)
    rows = rows[(rows["strategy"] != "stored") & rows["judged"]]
    courses: dict[str, dict[str, _Course]] = {}
    for strategy, mine in rows.groupby("strategy", sort=False):
        groups = mine.groupby(list(axes.groups), sort=False) if axes.groups else [(("",), mine)]
        courses[str(strategy)] = {" ".join(map(str, key)): _stretches(group, axes.along) for key, group in groups}
    return courses


def _stretches(group: pd.DataFrame, along: str) -> _Course:
    group = group.sort_values(along) if along else group
    values = group[along] if along else range(len(group))
    stretches: list[_Stretch] = []
    for value, verdict in zip(values, group["verdict"], strict=True):
        before = stretches[-1] if stretches else None
        if before and (before.verdict == verdict or {before.verdict, verdict} <= set(RIGHT)):
            worst = verdict if before.verdict == verdict else max(before.verdict, verdict, key=RIGHT.index)
            stretches[-1] = _Stretch(worst, before.first, value)
        else:
            stretches.append(_Stretch(verdict, value, value))
    return tuple(stretches)


def _alike(courses: dict[str, _Course]) -> dict[_Course, list[str]]:
    """The groups that share a course."""
    alike: dict[_Course, list[str]] = {}
    for group, course in courses.items():
        alike.setdefault(course, []).append(group)
    return alike


def _of(groups: list[str], among: dict[str, _Course], axes: Axes) -> str:
    """Whose gradients: "of the hybrid network "; nothing where it is everybody's."""
    if len(groups) == len(among) != 1 or not axes.groups:
        return ""
    noun = "network" if axes.groups == ("model",) else "setting"
    return f"of the {_grouped(groups, among)} {noun}{'s' if len(groups) > 1 else ''} "


def _grouped(groups: list[str], among: dict[str, _Course]) -> str:
    """The groups in words: "a and b"; of two axes or more "hybrid tf32/float32", or "hybrid" for all of its values."""
    tails: dict[str, list[str]] = {}
    for group in groups:
        head, _, tail = group.rpartition(" ")
        tails.setdefault(head, []).append(tail)
    if "" in tails:
        return _listed(groups)
    sizes = Counter(group.rpartition(" ")[0] for group in among)
    whole = {head for head, mine in tails.items() if len(mine) == sizes[head] > 1}
    return _listed([head if head in whole else f"{head} {'/'.join(mine)}" for head, mine in tails.items()])


def _said(course: _Course, along: str, losses: bool = False) -> str:
    """The verdicts along the axis in words: "below the noise of SGD up to depth 7 and harmful from depth 10 on".

    With `losses` the right verdicts that it begins with are left out, if all that follows is measured and wrong.
    """
    words, name = [], along.replace("_", " ")
    for place, stretch in enumerate(course):
        first, last = axis_value(along, stretch.first), axis_value(along, stretch.last)
        if not name:
            where = ""
        elif len(course) == 1:
            each = "every" if stretch.verdict else "any"
            where = f" at {each} {name} up to {last}" if stretch.last != stretch.first else ""
        elif place == 0:
            where = f" up to {name} {last}"
        elif place == len(course) - 1:
            where = f" from {name} {first} on"
        else:
            where = f" from {name} {first} to {last}"
            where = where if stretch.last != stretch.first else f" at {name} {first}"
        words.append(f"{_PHRASES[stretch.verdict]}{where}")
    wrong = [stretch.verdict not in (*RIGHT, "") for stretch in course]
    starts_right = course[0].verdict in RIGHT and len(course) > 1 and all(wrong[1:])
    return _listed(words[1:] if losses and starts_right else words)


def _held(axes: Axes) -> str:
    """At which values of the other numeric axes that is: " (negative slope 0.2)"."""
    return f" ({setting(axes.reference)})" if axes.reference else ""


def _capital(sentence: str) -> str:
    return f"{sentence[0].upper()}{sentence[1:]}"


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) < 2 else f"{', '.join(parts[:-1])} and {parts[-1]}"
