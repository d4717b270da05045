"""A trend as a small picture in a line of text: an SVG path, so that it needs no script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Spark", "Trend", "sparkline"]

WIDTH, HEIGHT, MARGIN = 160, 36, 4


@dataclass(frozen=True)
class Spark:
    """The path of the line, which breaks where a number is absent, and the place of its last point."""

    path: str
    x: float
    y: float
    width: int = WIDTH
    height: int = HEIGHT


@dataclass(frozen=True)
class Trend:
    """A number over the nights: its line, what it is in words for who cannot see it, and a caption."""

    line: Spark
    words: str
    caption: str


def sparkline(values: Sequence[float]) -> Spark | None:
    """Draw `values` from left to right, on a logarithmic axis where they are positive and span a factor of ten.

    Absent numbers are nan and break the line; infinite ones stand at the edge. Fewer than two numbers make no line.
    """
    finite = [value for value in values if math.isfinite(value)]
    if sum(not math.isnan(value) for value in values) < 2 or not finite:
        return None
    low, high = min(finite), max(finite)
    if low > 0 and high / low > 10:
        values, low, high = [math.log(value) if value > 0 else value for value in values], math.log(low), math.log(high)
    points = [(_across(place, len(values)), _up(value, low, high)) for place, value in enumerate(values)]
    path, pen = "", "M"
    for (x, y), value in zip(points, values, strict=True):
        if math.isnan(value):
            pen = "M"
            continue
        path += f"{pen}{x:g} {y:g}" + ("h0" if pen == "M" else "")
        pen = "L"
    x, y = [point for point, value in zip(points, values, strict=True) if not math.isnan(value)][-1]
    return Spark(path, x, y)


def _across(place: int, count: int) -> float:
    return round(MARGIN + (WIDTH - 2 * MARGIN) * place / max(count - 1, 1), 1)


def _up(value: float, low: float, high: float) -> float:
    """The height of a value from the top; half way up where all are the same."""
    share = 0.5 if high == low else (min(max(value, low), high) - low) / (high - low)
    return round(HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (share if not math.isnan(value) else 0), 1)
