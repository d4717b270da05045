"""Whether two runs are the same bit for bit in every firm number that both have."""

from __future__ import annotations

import pandas as pd

from gradbench.compare.match import BASE, NEW, Matched
from gradbench.results import TABLES

__all__ = ["is_identical"]

#: Words that may name a process or a path; the status that they explain is compared.
_PROSE = ("reason",)


def is_identical(matched: Matched) -> bool:
    """Whether every firm column is the same in every row that both runs have; `nan` is the same as `nan`.

    A column that one of the runs does not have at all, because it is older or measured less, is not compared. Claims
    are not looked at: they follow from the other tables.
    """
    for name, rows in matched.tables.items():
        if name == "claims":
            continue
        table = TABLES[name]
        for column in table.columns:
            if column.firm and column.name not in (*table.key, *_PROSE):
                old, new = rows[f"{column.name}{BASE}"], rows[f"{column.name}{NEW}"]
                if not (old.isna().all() or new.isna().all()) and not _same(old, new):
                    return False
    return True


def _same(old: pd.Series, new: pd.Series) -> bool:
    """Whether two columns are equal, absent values too."""
    both_absent = old.isna() & new.isna()
    return bool(((old == new).fillna(False).astype(bool) | both_absent).all())
