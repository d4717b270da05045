"""How numbers and names are written for readers."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["ABSENT", "MINUS", "accuracy", "axis_name", "interval", "number", "power_of_ten"]

MINUS = "\N{MINUS SIGN}"
ABSENT = "\N{EN DASH}"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power_of_ten(exponent: int) -> str:
    """10 with its exponent raised; 1, 10 and 0.1 as they are.

    >>> power_of_ten(-7)
    '10⁻⁷'
    """
    return {-1: "0.1", 0: "1", 1: "10"}.get(exponent, f"10{str(exponent).translate(_SUPERSCRIPT)}")


def number(value: Any) -> str:
    """Three significant digits; `ABSENT` for an absent number.

    >>> [number(value) for value in (0.0, 12.345, 2048, 3.21e-7, float("inf"))]
    ['0', '12.3', '2,050', '3.21·10⁻⁷', '∞']
    """
    value = float(value)
    if math.isnan(value):
        return ABSENT
    sign = MINUS if value < 0 else ""
    size = abs(value)
    if math.isinf(size):
        return f"{sign}∞"
    if size == 0:
        return "0"
    size = float(f"{size:.3g}")
    if 1e-3 <= size < 1e6:
        return sign + (f"{size:,.0f}" if size >= 1000 else f"{size:.3g}")
    mantissa, exponent = f"{size:.2e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{sign}{mantissa}·10{str(int(exponent)).translate(_SUPERSCRIPT)}"


def interval(low: Any, high: Any) -> str:
    """The two ends of an interval, or nothing where there is none."""
    return "" if math.isnan(float(low)) or math.isnan(float(high)) else f"{number(low)} to {number(high)}"


def accuracy(mean: Any, deviation: Any = math.nan) -> str:
    """A share as a percentage, with its standard deviation over seeds where there is one.

    >>> accuracy(0.8123, 0.004)
    '81.2 % ± 0.4'
    """
    if math.isnan(float(mean)):
        return ABSENT
    spread = "" if math.isnan(float(deviation)) else f" ± {100 * float(deviation):.1f}"
    return f"{100 * float(mean):.1f} %{spread}"


def axis_name(name: str) -> str:
    """An axis for a heading: "negative_slope" as "negative slope"."""
    return name.replace("_", " ").replace(".", " ")
