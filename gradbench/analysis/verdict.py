"""The verdict in one or two sentences, computed from the settings: who keeps the gradients right, and how far."""

from __future__ import annotations

from itertools import groupby

import pandas as pd

from gradbench.analysis.axes import Axes

__all__ = ["RIGHT", "verdict_sentence"]

#: The verdicts under which the gradients are right: their error hides in float32 rounding or in the noise of SGD.
RIGHT = ("undefined", "exact", "rounding", "below-noise")

_PHRASES = {
    "": "not measured",
    "undefined": "all zero",
    "exact": "exact",
    "rounding": "right to float32 rounding",
    "below-noise": "below the noise of SGD",
    "unresolved": "too close to a limit to call",
    "comparable": "comparable to the noise of SGD",
    "harmful": "harmful",
    "broken": "broken",
}


def verdict_sentence(settings: pd.DataFrame, axes: Axes) -> str:
    """Say for each strategy (and each value of the axes of names) where its gradients are right.

    Args:
        settings: `by_setting`'s rows.
        axes: the roles of the axes; the sentence speaks of the reference values of the other numeric axes.
    """
    rows = axes.at_reference(settings)
    strategies = [strategy for strategy in rows["strategy"].unique() if strategy != "stored"]
    split, alike = [], []
    for strategy in strategies:
        mine = rows[rows["strategy"] == strategy]
        groups = mine.groupby(list(axes.groups), sort=False) if axes.groups else [((), mine)]
        said = {" ".join(str(part) for part in name): _course(group, axes.along) for name, group in groups}
        if len(set(said.values())) == 1:
            alike.append(f"with {strategy} they are {next(iter(said.values()))}")
        else:
            parts = ", ".join(f"on {name} {course}" for name, course in said.items())
            split.append(f"with {strategy} the gradients are {parts}")
    if not split and not alike:
        return "Nothing but stored training was measured, so there is no verdict."
    if not split:
        alike[0] = alike[0].replace(" they are ", " the gradients are ", 1)
    sentences = [*split, *(["; ".join(alike)] if alike else [])]
    if axes.reference:
        at = " and ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in axes.reference.items())
        sentences[0] = f"at {at}, {sentences[0]}"
    return " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences)


def _course(group: pd.DataFrame, along: str) -> str:
    """The verdicts along the axis in words: "exact at every depth up to 28", "..., harmful from depth 8 on"."""
    if not along:
        return _PHRASES[group["verdict"].iloc[0]]
    group = group.sort_values(along)
    name = along.replace("_", " ")
    stretches = []
    for right, part in groupby(zip(group[along], group["verdict"], strict=True), key=lambda row: row[1] in RIGHT):
        points = list(part)
        if right:  # several right verdicts in a row are one stretch, named by its worst
            worst = max((verdict for _, verdict in points), key=RIGHT.index)
            stretches.append((worst, [value for value, _ in points]))
        else:
            for verdict, same in groupby(points, key=lambda row: row[1]):
                stretches.append((verdict, [value for value, _ in same]))
    if len(stretches) == 1:
        verdict, values = stretches[0]
        if len(values) == 1:
            return f"{_PHRASES[verdict]} at {name} {values[0]:g}"
        return f"{_PHRASES[verdict]} at every {name} from {values[0]:g} to {values[-1]:g}"
    words = []
    for place, (verdict, values) in enumerate(stretches):
        if place == len(stretches) - 1:
            where = f"from {name} {values[0]:g} on"
        elif place == 0:
            where = f"up to {name} {values[-1]:g}" if len(values) > 1 else f"at {name} {values[0]:g}"
        else:
            where = f"from {values[0]:g} to {values[-1]:g}" if len(values) > 1 else f"at {values[0]:g}"
        words.append(f"{_PHRASES[verdict]} {where}")
    return f"{', '.join(words[:-1])} and {words[-1]}"
