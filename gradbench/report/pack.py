"""Datasets for the page: by column, few significant digits, compressed, so that they stay small."""

from __future__ import annotations

import base64
import gzip
import json
import math
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["by_column", "by_row", "compressed", "for_script"]


def by_column(frame: pd.DataFrame, digits: int = 4, infinite: bool = False) -> dict[str, Any]:
    """A data frame as lists of numbers, or for words the `levels` and `codes` that point to them; absent is null.

    Args:
        frame: any.
        digits: that are kept of a number.
        infinite: keep what is infinite as the words "inf" and "-inf"; else it is null too.
    """
    return {str(name): _column(frame[name], digits, infinite) for name in frame}


def by_row(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The same data frame as records."""
    columns = by_column(frame)
    words = {
        name: [None if code < 0 else column["levels"][code] for code in column["codes"]]
        if isinstance(column, dict)
        else column
        for name, column in columns.items()
    }
    return [dict(zip(words, row, strict=True)) for row in zip(*words.values(), strict=True)]


def _column(values: pd.Series, digits: int, infinite: bool) -> Any:
    if pd.api.types.is_numeric_dtype(values):
        return [_short(value, digits, infinite) for value in values.astype(np.float64)]
    codes, levels = pd.factorize(values)
    return {"levels": [str(level) for level in levels], "codes": codes.tolist()}


def _short(value: float, digits: int, infinite: bool) -> float | int | str | None:
    if not math.isfinite(value):
        return str(value) if infinite and math.isinf(value) else None
    short = float(f"{value:.{digits}g}")
    return int(short) if short.is_integer() and abs(short) < 1e9 else short


def compressed(value: Any) -> str:
    """JSON, by gzip, in base 64: what the page's script reads again with `DecompressionStream`."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def for_script(value: Any) -> str:
    """JSON for an attribute or a script: no text in it can end an element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
