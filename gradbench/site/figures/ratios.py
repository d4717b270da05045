"""Every number that was compared, new over base, with its interval: what moved, and how far."""

from __future__ import annotations

import json
import math

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
#: The colour and the symbol of what came of a test; everything else did not change.
_TONES = {"regression": ("var(--bad)", "diamond"), "improvement": ("var(--good)", "square")}
_SAME = ("var(--c0)", "circle")
_TICKS = (1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 0.2, 0.5, 0.8, 0.9, 1, 1.1, 1.25, 2, 5, 10, 100, 1e3, 1e4, 1e5, 1e6)


def ratio_figure(comparison: Comparison, scene: Scene) -> Figure:
    """New over base for each strategy and quantity over all settings, where pairs were compared."""
    tests = comparison.tests
    rows = tests[(tests["kind"] != "gate") & (tests["level"] == "all") & (tests["ratio"] > 0)]
    if rows.empty:
        why = "Nothing, every number is the same." if comparison.identical else "No number was compared pair by pair."
        return missing("ratios", _QUESTION, why)
    frame = _frame(rows)
    ends = frame[["y", "lo", "hi"]].to_numpy(np.float64)
    low, high = _limits(float(np.nanmin(ends)), float(np.nanmax(ends)), comparison.rules.size)
    frame = frame.assign(**{name: frame[name].clip(low, high) for name in ("y", "lo", "hi")})
    ticks = [tick for tick in _TICKS if low <= tick <= high]
    sparse = [tick for tick in ticks if tick in (0.5, 1, 2) or math.log10(tick).is_integer()]
    chosen = ticks if len(ticks) <= 8 else sparse if len(sparse) <= 8 else [low, 1.0, high]
    labels = json.dumps([number(tick) for tick in chosen], ensure_ascii=False)
    axis = alt.Axis(
        title="new / base", values=chosen, labelExpr=f"{labels}[round(datum.index * {len(chosen) - 1})]", orient="top"
    )
    scale = alt.Scale(type="log", domain=[low, high], nice=False)
    quantities, strategies = list(dict.fromkeys(frame["q"])), list(dict.fromkeys(frame["s"]))
    up = alt.Y("q:N", scale=alt.Scale(domain=quantities, paddingInner=0.3), axis=alt.Axis(title=None, labelLimit=150))
    shift = alt.YOffset("s:N", scale=alt.Scale(domain=strategies))
    kinds = [kind for kind in (*_TONES, "no change") if kind in set(frame["k"])]
    looks = [_TONES.get(kind, _SAME) for kind in kinds]
    colour = alt.Color("k:N", scale=alt.Scale(domain=kinds, range=[colour for colour, _ in looks]), legend=None)
    shape = alt.Shape("k:N", scale=alt.Scale(domain=kinds, range=[shape for _, shape in looks]), legend=None)
    tooltip = [
        alt.Tooltip("s:N", title="strategy"),
        alt.Tooltip("q:N", title="number"),
        alt.Tooltip("t:N", title="new / base"),
        alt.Tooltip("o:N", title="outcome"),
        alt.Tooltip("n:Q", title="pairs"),
    ]
    drawn = scene.chart("ratios", ()).encode(y=up, yOffset=shift, color=colour)
    size = 1 + comparison.rules.size
    band = alt.Chart(alt.InlineData(values=[{"from": 1 / size, "to": size}])).mark_rect(color="var(--rule)", aria=False)
    one = alt.Chart(alt.InlineData(values=[{"one": 1}])).mark_rule(color="var(--ink-2)", aria=False)
    chart = alt.layer(
        band.encode(x=alt.X("from:Q", scale=scale, axis=axis), x2="to:Q"),
        one.encode(x=alt.X("one:Q", scale=scale, axis=axis)),
        drawn.mark_rule(strokeWidth=2, aria=False).encode(x=alt.X("lo:Q", scale=scale, axis=axis), x2="hi:Q"),
        drawn.mark_point(filled=True, size=70, opacity=1).encode(
            x=alt.X("y:Q", scale=scale, axis=axis), shape=shape, tooltip=tooltip
        ),
        drawn.mark_text(align="left", dx=6, fontSize=11, aria=False).encode(
            x=alt.value("width"), text="s:N", color=alt.value("var(--ink-2)")
        ),
    )
    words = "Dot chart: new over base with its interval, for each number that was compared and each strategy."
    height = 16 * len(quantities) * (len(strategies) + 1)
    return Figure(
        "ratios",
        _QUESTION,
        "New over base, the mean over pairs of cells with its 95 % interval; a row a strategy. Left of 1 is less, "
        f"right of it more. Within the band, {100 * comparison.rules.size:g} % either way, is too little to count.",
        (scene.finish(chart, (), words, height=height),),
        ("",),
        (),
        tuple(Key(kind, colour, SHAPES[shape]) for kind, (colour, shape) in zip(kinds, looks, strict=True)),
        {"ratios": frame},
    )


def _frame(rows: pd.DataFrame) -> pd.DataFrame:
    """g, s, q (quantity), y, lo, hi, t (the three in words), k (what is coloured), o (outcome), n (pairs)."""
    words = {column.name: column.name.replace("_", " ") for table in TABLES.values() for column in table.columns}
    ratios, lows, highs = (rows[name].to_numpy(np.float64) for name in ("ratio", "low", "high"))
    return pd.DataFrame(
        {
            "g": "",
            "s": rows["strategy"].to_numpy(),
            "q": [words.get(check, check) for check in rows["check"]],
            "y": ratios,
            "lo": np.where(np.isnan(lows), ratios, lows),
            "hi": np.where(np.isnan(highs), ratios, highs),
            "t": [_text(*ends) for ends in zip(ratios, lows, highs, strict=True)],
            "k": [outcome if outcome in _TONES else "no change" for outcome in rows["outcome"]],
            "o": rows["outcome"].to_numpy(),
            "n": rows["pairs"].to_numpy(),
        }
    )


def _text(ratio: float, low: float, high: float) -> str:
    return number(ratio) if math.isnan(low) else f"{number(ratio)} ({number(low)} to {number(high)})"


def _limits(low: float, high: float, size: float) -> tuple[float, float]:
    """Limits that hold everything up to a million, 1, and more than the size that counts."""
    least = 1 + 2 * size
    return max(1e-6, min(low / 1.1, 1 / least)), min(1e6, max(high * 1.1, least))
