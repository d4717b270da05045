"""Read a run's folder: the manifest and every table, typed as `gradbench.results` says."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pandas as pd

from gradbench.errors import UsageError
from gradbench.results import CELL_STATUSES, SCHEMA, TABLES, VERDICTS

__all__ = ["Run", "read_run", "read_table", "typed"]

#: pandas dtypes of the columns. Whole numbers may be absent (a failed cell has no worst step), hence "Int64".
_DTYPES = {"string": "object", "int": "Int64", "float": "float64", "bool": "boolean"}
_OPENERS: dict[str, Callable[..., IO[str]]] = {"": open, ".gz": gzip.open, ".xz": lzma.open}
#: What columns of words may hold; in `verdict` nothing too.
_WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "cells": {"status": CELL_STATUSES, "verdict": VERDICTS},
    "gradients": {"verdict": VERDICTS},
}


@dataclass(frozen=True)
class Run:
    """A run read from disk.

    Attributes:
        folder: where it lies.
        manifest: `manifest.json` as it is.
        axes: the axes of the case's matrix, in its order.
        tables: one data frame for each entry of `gradbench.results.TABLES`.
    """

    folder: Path
    manifest: dict[str, Any]
    axes: tuple[str, ...]
    tables: dict[str, pd.DataFrame]


def read_run(folder: Path) -> Run:
    """Read the manifest and every table of the run in `folder`.

    Raises:
        UsageError: the folder, a file or a column is missing, the manifest is not JSON or of a later gradbench, or a
            table is damaged.
    """
    path = folder / "manifest.json"
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder; a run is a folder that `gradbench run` wrote")
    if not path.is_file():
        raise UsageError(f"{folder}: manifest.json is missing, so this is not the folder of a run")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path}: not JSON: {error}") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("axes"), dict | list):
        raise UsageError(f"{path}: it names no axes, so the tables cannot be read")
    axes, schema = tuple(manifest["axes"]), manifest.get("schema", 1)
    if not isinstance(schema, int):
        raise UsageError(f"{path}: schema {schema!r} is not a whole number")
    if schema > SCHEMA:
        raise UsageError(f"{path}: written by a later gradbench, in schema {schema}; this one reads up to {SCHEMA}")
    for name in ("settings", "environment"):
        if not isinstance(manifest.setdefault(name, {}), dict):
            raise UsageError(f"{path}: {name} is no table")
    return Run(folder, manifest, axes, {name: read_table(folder, name, axes, schema) for name in TABLES})


def read_table(folder: Path, name: str, axes: Sequence[str], schema: int = SCHEMA) -> pd.DataFrame:
    """Read one table (`name.csv`, `.csv.gz` or `.csv.xz`); `inf` and `nan` are numbers, an empty field is absent.

    A column that is newer than the run's `schema` is absent throughout, and a table that is newer has no rows.

    Raises:
        UsageError: the file or a column is missing, the file is cut off or otherwise damaged, a field is not of the
            column's type or not among its words, or a row is there twice.
    """
    table = TABLES[name]
    path = next((folder / f"{table.file}{end}" for end in _OPENERS if (folder / f"{table.file}{end}").is_file()), None)
    types = {column.name: _DTYPES[column.dtype] for column in table.columns}
    if name != "claims":
        types = {"cell": "object", **dict.fromkeys(axes, "object"), "seed": "Int64", **types}
    if path is None and table.since > schema:
        return pd.DataFrame({column: pd.Series(dtype=kind) for column, kind in types.items()})
    if path is None:
        raise UsageError(f"{folder}: {table.file} is missing; expected it, or it compressed as .gz or .xz")
    absent = {column: [] if kind == "object" else ["", "nan", "NaN"] for column, kind in types.items()}
    text = _text(path)
    header = pd.read_csv(io.StringIO(text), nrows=0).columns
    newer = [column.name for column in table.columns if column.since > schema and column.name not in header]
    missing = [column for column in types if column not in header and column not in newer]
    if missing:
        raise UsageError(f"{path}: column {missing[0]!r} is missing; the columns are {', '.join(types)}")
    present = {column: kind for column, kind in types.items() if column not in newer}
    try:
        frame = pd.read_csv(
            io.StringIO(text), dtype=present, na_values=absent, keep_default_na=False, usecols=list(present)
        )
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error
    _check(path, frame, name)
    for column in newer:
        frame[column] = pd.Series(index=frame.index, dtype=types[column])
    if name != "claims":
        for axis in axes:
            frame[axis] = _plain(frame[axis])
    return frame[list(types)]


def _text(path: Path) -> str:
    """The text of a table, uncompressed, of which every line has its end."""
    try:
        with _OPENERS[path.suffix if path.suffix in _OPENERS else ""](path, "rt", encoding="utf-8", newline="") as file:
            text = file.read()
    except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error) as error:
        raise UsageError(f"{path}: it cannot be read and may be damaged: {error}") from error
    if not text.endswith("\n"):
        raise UsageError(f"{path}: {'its last line is cut off' if text else 'it is empty'}; a table ends with a line")
    return text


def _check(path: Path, frame: pd.DataFrame, name: str) -> None:
    """No row may be there twice, and no word but those that its column may hold."""
    for column, words in _WORDS.get(name, {}).items():
        strange = ~frame[column].isin([*words, ""] if column == "verdict" else words)
        if strange.any():
            place = int(strange.to_numpy().argmax())
            given = frame[column].iloc[place]
            raise UsageError(f"{path}: row {place + 1}: {column} {given!r} is none of {', '.join(words)}")
    key = list(TABLES[name].key)
    if (again := frame.duplicated(key)).any():
        place = int(again.to_numpy().argmax())
        said = ", ".join(str(value) for value in frame[key].iloc[place])
        raise UsageError(f"{path}: row {place + 1}: {said} has a row already")


def typed(name: str, rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return rows of one table as a frame with its columns, typed as `read_table` does; without the leading columns."""
    types = {column.name: _DTYPES[column.dtype] for column in TABLES[name].columns}
    frame = pd.DataFrame(list(rows), columns=list(types))
    words = [column for column, kind in types.items() if kind == "object"]
    return frame.astype(types).fillna(dict.fromkeys(words, ""))


def _plain(values: pd.Series) -> pd.Series:
    """An axis as whole numbers if all of it is, else as numbers if all of it is, else as it stands."""
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.isna().any():
        return values
    return numbers
