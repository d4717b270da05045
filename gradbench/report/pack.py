"""Datasets for the page: by column, four significant digits, compressed, so that they stay small."""

from __future__ import annotations

import base64
import gzip
import json
import math
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["by_column", "compressed", "for_script"]


def by_column(frame: pd.DataFrame) -> dict[str, Any]:
    """A data frame as lists of numbers, or for words the `levels` and `codes` that point to them; absent is null."""
    return {str(name): _column(frame[name]) for name in frame}


def _column(values: pd.Series) -> Any:
    if pd.api.types.is_numeric_dtype(values):
        return [_short(value) for value in values.astype(np.float64)]
    codes, levels = pd.factorize(values)
    return {"levels": [str(level) for level in levels], "codes": codes.tolist()}


def _short(value: float) -> float | int | None:
    if not math.isfinite(value):
        return None
    short = float(f"{value:.4g}")
    return int(short) if short.is_integer() and abs(short) < 1e9 else short


def compressed(value: Any) -> str:
    """JSON, by gzip, in base 64: what the page's script reads again with `DecompressionStream`."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def for_script(value: Any) -> str:
    """JSON for an attribute or a script: no text in it can end an element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
