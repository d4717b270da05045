"""The values of sources that a run's case carries, as the page lists them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gradbench.analysis.references import pairs
from gradbench.analysis.tables import Run
from gradbench.case.schema import Reference
from gradbench.report.words import axis_name, number
from gradbench.results import TABLES

__all__ = ["ReferenceRow", "ReferenceTable", "reference_table", "references_of"]


@dataclass(frozen=True)
class ReferenceRow:
    """One value of a source with ours, written; `keys` are the numbers that their columns are sorted by."""

    label: str
    quantity: str
    place: str
    theirs: str
    ours: str
    difference: str
    keys: tuple[str, str, str]
    seeds: int


@dataclass(frozen=True)
class ReferenceTable:
    """The values that can be held beside ours, how many cannot, and how each source was read.

    Attributes:
        rows: a row for every value at whose place something was measured.
        without: how many values lie where this run measured nothing.
        sources: for each label, how its numbers were read.
    """

    rows: tuple[ReferenceRow, ...]
    without: int
    sources: tuple[tuple[str, str], ...]


def references_of(run: Run) -> list[Reference]:
    """The references of the run's case."""
    return [Reference.model_validate(entry) for entry in run.manifest.get("settings", {}).get("reference", [])]


def reference_table(run: Run) -> ReferenceTable:
    """Every value of every source beside ours."""
    references = references_of(run)
    rows, without = [], 0
    for reference in references:
        unit = _unit(reference)
        quantity = axis_name(reference.value.column.removesuffix("_db")).replace("snr", "SNR")
        for pair in pairs(run.tables, reference):
            if math.isnan(pair.ours):
                without += 1
                continue
            difference = pair.ours - pair.theirs
            along = [] if pair.x is None else [f"{axis_name(str(reference.along))} {pair.x:g}"]
            rows.append(
                ReferenceRow(
                    label=reference.label,
                    quantity=f"{quantity} ({unit})" if unit else quantity,
                    place=", ".join([*_where(reference), *along]),
                    theirs=number(pair.theirs),
                    ours=number(pair.ours),
                    difference=number(difference),
                    keys=(f"{pair.theirs:.6g}", f"{pair.ours:.6g}", f"{difference:.6g}"),
                    seeds=pair.seeds,
                )
            )
    sources = dict.fromkeys((reference.label, reference.source) for reference in references)
    return ReferenceTable(tuple(rows), without, tuple(sources))


def _where(reference: Reference) -> list[str]:
    """The conditions of a reference in words: a name alone, a number after its axis."""
    words = []
    for key, wanted in reference.value.where.items():
        values = wanted if isinstance(wanted, list) else [wanted]
        text = " or ".join(value if isinstance(value, str) else f"{value:g}" for value in values)
        words.append(text if all(isinstance(value, str) for value in values) else f"{axis_name(key)} {text}")
    return words


def _unit(reference: Reference) -> str:
    columns = TABLES[reference.value.table].columns
    return next(column.unit for column in columns if column.name == reference.value.column)
