"""Every number that moved, new over base, with its interval."""

from __future__ import annotations

import json
import math
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from gradbench.compare.comparison import Comparison
from gradbench.report.figure import Figure, Key, Scene, missing
from gradbench.report.palette import SHAPES
from gradbench.report.words import number
from gradbench.results import TABLES

__all__ = ["ratio_figure"]

_QUESTION = "Which numbers moved, and how far?"
#: What is drawn of a test, with its colour and symbol.
_LOOKS = {
    "regression": ("var(--bad)", "diamond"),
    "improvement": ("var(--good)", "square"),
    "too few pairs to tell": ("var(--warn)", "triangle-down"),
    "no change that counts": ("var(--c0)", "circle"),
    "depends on the machine's load, not judged": ("var(--ink-3)", "cross"),
}
_WORDS = {"regression": "regression", "improvement": "improvement", "too few pairs": "too few pairs to tell"}
_ADVISORY = tuple(column.name for table in TABLES.values() for column in table.columns if not column.firm)
_TICKS = (1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 0.2, 0.5, 0.8, 0.9, 1, 1.1, 1.25, 2, 5, 10, 100, 1e3, 1e4, 1e5, 1e6)


def ratio_figure(comparison: Comparison, scene: Scene) -> Figure:
    """New over base for each quantity and strategy over all settings; what is the same everywhere has no row."""
    tests = comparison.tests
    compared = tests[(tests["kind"] != "gate") & (tests["level"] == "all")]
    rows = compared[(compared["ratio"] > 0) & ~compared["outcome"].isin(["identical", "within rounding"])]
    if rows.empty:
        why = "None: every number is the same, or within rounding." if len(compared) else "No number was compared."
        return missing("ratios", _QUESTION, why)
    frame = _frame(rows)
    scale, axis, frame = _across(frame, comparison.rules.size)
    names, kinds = list(frame["q"]), [kind for kind in _LOOKS if kind in set(frame["k"])]
    looks = [_LOOKS[kind] for kind in kinds]
    drawn = scene.chart("ratios", ()).encode(
        y=alt.Y("q:N", scale=alt.Scale(domain=names), axis=alt.Axis(title=None, grid=True, labelLimit=220)),
        color=alt.Color("k:N", scale=alt.Scale(domain=kinds, range=[colour for colour, _ in looks]), legend=None),
    )
    shape = alt.Shape("k:N", scale=alt.Scale(domain=kinds, range=[shape for _, shape in looks]), legend=None)
    tooltip = [
        alt.Tooltip("q:N", title="number"),
        alt.Tooltip("t:N", title="new / base"),
        alt.Tooltip("o:N", title="outcome"),
        alt.Tooltip("n:Q", title="pairs"),
    ]
    size = 1 + comparison.rules.size
    lines: list[dict[str, Any]] = [{"v": 1, "dash": 0}, {"v": 1 / size, "dash": 1}, {"v": size, "dash": 1}]
    chart = alt.layer(
        drawn.mark_rule(strokeWidth=2, aria=False).encode(x=alt.X("lo:Q", scale=scale, axis=axis), x2="hi:Q"),
        drawn.mark_point(filled=True, size=80, opacity=1).encode(
            x=alt.X("y:Q", scale=scale, axis=axis), shape=shape, tooltip=tooltip
        ),
        alt.Chart(alt.InlineData(values=lines))
        .mark_rule(color="var(--ink-2)", aria=False)
        .encode(
            x=alt.X("v:Q", scale=scale, axis=axis),
            strokeDash=alt.StrokeDash("dash:O", scale=alt.Scale(domain=[0, 1], range=[[1, 0], [4, 3]]), legend=None),
        ),
    )
    words = "Dot chart: new over base with its interval, for each number and strategy that moved."
    return Figure(
        "ratios",
        _QUESTION,
        "New over base, the mean over pairs of cells with its 95 % interval: left of 1 is less, right of it more. "
        f"Between the dashed lines, at {100 * comparison.rules.size:g} %, is too little to count. "
        f"{len(rows)} of {len(compared)} moved; the others are the same, or within rounding.",
        (scene.finish(chart, (), words, height=30 + 26 * len(frame)),),
        ("",),
        (),
        tuple(Key(kind, colour, SHAPES[shape]) for kind, (colour, shape) in zip(kinds, looks, strict=True)),
        {"ratios": frame},
    )


def _frame(rows: pd.DataFrame) -> pd.DataFrame:
    """g, q (quantity and strategy), y, lo, hi, t (the three in words), k (what is coloured), o (outcome), n (pairs)."""
    ratios, lows, highs = (rows[name].to_numpy(np.float64) for name in ("ratio", "low", "high"))
    return pd.DataFrame(
        {
            "g": "",
            "q": [
                f"{check.replace('_', ' ')}, {strategy}"
                for check, strategy in zip(rows["check"], rows["strategy"], strict=True)
            ],
            "y": ratios,
            "lo": np.where(np.isnan(lows), ratios, lows),
            "hi": np.where(np.isnan(highs), ratios, highs),
            "t": [_text(*ends) for ends in zip(ratios, lows, highs, strict=True)],
            "k": [_kind(*row) for row in zip(rows["check"], rows["outcome"], strict=True)],
            "o": rows["outcome"].to_numpy(),
            "n": rows["pairs"].to_numpy(),
        }
    )


def _kind(check: str, outcome: str) -> str:
    """Which of `_LOOKS` a test has."""
    usual = list(_LOOKS)[-1 if check in _ADVISORY else -2]
    return _WORDS.get(outcome, usual) if check not in _ADVISORY or outcome == "regression" else usual


def _text(ratio: float, low: float, high: float) -> str:
    return number(ratio) if math.isnan(low) else f"{number(ratio)} ({number(low)} to {number(high)})"


def _across(frame: pd.DataFrame, size: float) -> tuple[alt.Scale, alt.Axis, pd.DataFrame]:
    """A logarithmic axis around 1 with room for the size that counts, and `frame` inside its limits of a million."""
    ends = frame[["y", "lo", "hi"]].to_numpy(np.float64)
    low = max(1e-6, min(float(np.nanmin(ends)) / 1.1, 1 / (1 + 2 * size)))
    high = min(1e6, max(float(np.nanmax(ends)) * 1.1, 1 + 2 * size))
    ticks = [tick for tick in _TICKS if low <= tick <= high]
    if len(ticks) > 7:
        ticks = [tick for tick in ticks if math.log10(tick).is_integer()]
    labels = json.dumps([number(tick) for tick in ticks], ensure_ascii=False)
    axis = alt.Axis(
        title="new / base",
        values=ticks,
        labelExpr=f"{labels}[indexof({json.dumps(ticks)}, datum.value)]",
        grid=False,
        orient="top",
    )
    inside = frame.assign(**{name: frame[name].clip(low, high) for name in ("y", "lo", "hi")})
    return alt.Scale(type="log", domain=[low, high], nice=False), axis, inside
