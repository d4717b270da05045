"""Datasets for the page: by column, few significant digits, compressed, so that they stay small."""

from __future__ import annotations

import base64
import gzip
import json
import math
from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["by_column", "by_row", "compressed", "for_script"]

#: Digits with which every float is told from every other.
_ALL = 17


def by_column(
    frame: pd.DataFrame, digits: int = 4, infinite: bool = False, exact: Collection[str] = ()
) -> dict[str, Any]:
    """A data frame as lists of numbers, or for words the `levels` and `codes` that point to them; absent is null.

    Args:
        frame: any.
        digits: that are kept of a number; of an integer all.
        infinite: keep what is infinite as the words "inf" and "-inf"; else it is null too.
        exact: columns of which all digits are kept, since choices are compared with them.
    """
    return {str(name): _column(frame[name], _ALL if name in exact else digits, infinite) for name in frame}


def by_row(frame: pd.DataFrame, exact: Collection[str] = ()) -> list[dict[str, Any]]:
    """The same data frame as records."""
    columns = by_column(frame, exact=exact)
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
    short = value if value.is_integer() and abs(value) < 1e9 else float(f"{value:.{digits}g}")
    return int(short) if short.is_integer() and abs(short) < 1e9 else short


def compressed(value: Any) -> str:
    """JSON, by gzip, in base 64: what the page's script reads again with `DecompressionStream`."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def for_script(value: Any) -> str:
    """JSON for an attribute or a script: no text in it can end an element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
