"""The verdict in one or two sentences, computed from the settings: who keeps the gradients right, and how far."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from gradbench.analysis.axes import Axes

__all__ = ["RIGHT", "verdict_sentence"]

#: The verdicts under which the gradients are right: their error hides in float32 rounding or in the noise of SGD.
RIGHT = ("undefined", "exact", "rounding", "below-noise")

_PHRASES = {
    "": "not measured",
    "undefined": "all zero",
    "exact": "exact",
    "rounding": "right to rounding",
    "below-noise": "below SGD noise",
    "unresolved": "too close to a limit to call",
    "comparable": "comparable to SGD noise",
    "harmful": "harmful",
    "broken": "broken",
}


@dataclass(frozen=True)
class _Stretch:
    """Neighbouring values of the axis with one verdict; right verdicts in a row are one stretch, named by the worst."""

    verdict: str
    first: float
    last: float


def verdict_sentence(settings: pd.DataFrame, axes: Axes) -> str:
    """Say for each strategy, and each value of the axes of names, where its gradients are right.

    Args:
        settings: `by_setting`'s rows.
        axes: the roles of the axes; the sentence speaks of the reference values of the other numeric axes.
    """
    rows = axes.at_reference(settings)
    rows = rows[rows["strategy"] != "stored"]
    if rows.empty:
        return "Nothing but stored training was measured, so there is no verdict."
    name = axes.along.replace("_", " ")
    split, uneven = [], []
    uniform: dict[str, list[str]] = {}
    for strategy, mine in rows.groupby("strategy", sort=False):
        groups = mine.groupby(list(axes.groups), sort=False) if axes.groups else [(("",), mine)]
        courses = {" ".join(map(str, key)): _stretches(group, axes.along) for key, group in groups}
        distinct = set(courses.values())
        if len(distinct) > 1:
            split.append(f"with {strategy}, {_compare(courses, name)}")
        elif len(course := distinct.pop()) == 1:
            uniform.setdefault(_PHRASES[course[0].verdict], []).append(str(strategy))
        else:
            uneven.append(f"with {strategy} the gradients are {_course(course, name)}")
    alike = [f"{_listed(names)} {'is' if len(names) == 1 else 'are'} {phrase}" for phrase, names in uniform.items()]
    sentences = [*split, *uneven]
    if alike:
        joined = _listed(alike) if all(len(names) == 1 for names in uniform.values()) else "; ".join(alike)
        sentences.append(f"{_extent(rows, axes.along, name)}{joined}")
    if axes.reference:
        held = _listed([f"{key.replace('_', ' ')} {value:g}" for key, value in axes.reference.items()])
        sentences[0] = f"at {held}, {sentences[0]}"
    return " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences)


def _stretches(group: pd.DataFrame, along: str) -> tuple[_Stretch, ...]:
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


def _compare(courses: dict[str, tuple[_Stretch, ...]], name: str) -> str:
    """The groups that keep their gradients right first, then the others."""
    keep = {group: course for group, course in courses.items() if len(course) == 1 and course[0].verdict in RIGHT}
    said = [f"{group} keeps its gradients {_course(course, name)}" for group, course in keep.items()]
    lose = {group: course for group, course in courses.items() if group not in keep}
    said += [f"the gradients of {group} are {_course(course, name)}" for group, course in lose.items()]
    return "; ".join(said)


def _course(course: tuple[_Stretch, ...], name: str) -> str:
    """The verdicts along the axis in words: "below SGD noise up to depth 7 and harmful from depth 10 on"."""
    words = []
    for place, stretch in enumerate(course):
        if not name:
            where = ""
        elif len(course) == 1:
            where = f" at every {name} up to {stretch.last:g}" if stretch.last != stretch.first else ""
        elif place == 0:
            where = f" up to {name} {stretch.last:g}"
        elif place == len(course) - 1:
            where = f" from {name} {stretch.first:g} on"
        else:
            where = f" from {name} {stretch.first:g} to {stretch.last:g}"
            where = where if stretch.last != stretch.first else f" at {name} {stretch.first:g}"
        words.append(f"{_PHRASES[stretch.verdict]}{where}")
    return _listed(words)


def _extent(rows: pd.DataFrame, along: str, name: str) -> str:
    if not along or rows[along].nunique() < 2:
        return ""
    return f"at every {name} up to {rows[along].max():g}, "


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
