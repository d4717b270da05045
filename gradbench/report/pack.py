"""Datasets for the page: by column, names by number, repeats by count, four significant digits: they stay small."""

from __future__ import annotations

import json
import math
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["for_script", "pack"]


def pack(frame: pd.DataFrame) -> dict[str, Any]:
    """A data frame by column: the values; for words the `levels` and the `codes` that point to them; absent is null.

    Where values repeat, a list is written as the `values` and how many `times` each stands in a row.
    """
    return {str(name): _column(frame[name]) for name in frame}


def _column(values: pd.Series) -> Any:
    if pd.api.types.is_numeric_dtype(values):
        return _runs([_short(value) for value in values.astype(np.float64)])
    codes, levels = pd.factorize(values)
    return {"levels": [str(level) for level in levels], "codes": _runs(codes.tolist())}


def _runs(values: list[Any]) -> Any:
    runs = [(value, len(list(same))) for value, same in groupby(values)]
    if 2 * len(runs) > len(values):
        return values
    return {"values": [value for value, _ in runs], "times": [times for _, times in runs]}


def _short(value: float) -> float | int | None:
    if not math.isfinite(value):
        return None
    short = float(f"{value:.4g}")
    return int(short) if short.is_integer() and abs(short) < 1e9 else short


def for_script(value: Any) -> str:
    """JSON that may stand inside a script element: no text in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
