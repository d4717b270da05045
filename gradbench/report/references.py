"""The values of sources that a run's case carries, as the page lists them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from gradbench.analysis.axes import axis_value, setting
from gradbench.analysis.references import Pair, pairs
from gradbench.analysis.tables import Run
from gradbench.analysis.units import Unit, quantity_unit
from gradbench.case.schema import Reference
from gradbench.report.words import MINUS, axis_name, number, power_of_ten

__all__ = ["CurveRow", "ReferenceRow", "ReferenceTable", "reference_table", "references_of"]


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
class CurveRow:
    """A curve or level of a source in one line: its values that ours stand beside, and how far ours are from them."""

    label: str
    quantity: str
    place: str
    values: int
    theirs: str
    ours: str
    difference: str


@dataclass(frozen=True)
class ReferenceTable:
    """The values that can be held beside ours, how many cannot, and how each source was read.

    Attributes:
        rows: a row for every value at whose place something was measured.
        curves: a row for every curve and level of which there is one.
        without: how many values lie where this run measured nothing.
        sources: for each label, how its numbers were read.
    """

    rows: tuple[ReferenceRow, ...]
    curves: tuple[CurveRow, ...]
    without: int
    sources: tuple[tuple[str, str], ...]


def references_of(run: Run) -> list[Reference]:
    """The references of the run's case."""
    return [Reference.model_validate(entry) for entry in run.manifest.get("settings", {}).get("reference", [])]


def reference_table(run: Run) -> ReferenceTable:
    """Every value of every source beside ours."""
    references = references_of(run)
    rows: list[ReferenceRow] = []
    curves, without = [], 0
    for reference in references:
        found = pairs(run.tables, reference)
        measured = [pair for pair in found if not math.isnan(pair.ours)]
        without += len(found) - len(measured)
        rows += [_row(reference, pair) for pair in measured]
        if measured:
            curves.append(_curve(reference, measured))
    sources = dict.fromkeys((reference.label, reference.source) for reference in references)
    return ReferenceTable(tuple(rows), tuple(curves), without, tuple(sources))


def _row(reference: Reference, pair: Pair) -> ReferenceRow:
    theirs, ours, difference = _written(pair, _unit(reference))
    along = [] if pair.x is None else [setting({str(reference.along): pair.x})]
    return ReferenceRow(
        label=reference.label,
        quantity=_quantity(reference),
        place=", ".join([*_where(reference), *along]),
        theirs=theirs,
        ours=ours,
        difference=difference,
        keys=(f"{pair.theirs:.6g}", f"{pair.ours:.6g}", f"{pair.ours - pair.theirs:.6g}"),
        seeds=pair.seeds,
    )


def _curve(reference: Reference, measured: Sequence[Pair]) -> CurveRow:
    written = {pair: _written(pair, _unit(reference)) for pair in measured}
    far = sorted(measured, key=lambda pair: pair.ours - pair.theirs)
    return CurveRow(
        label=reference.label,
        quantity=_quantity(reference),
        place=", ".join([*_where(reference), *([f"along {axis_name(reference.along)}"] if reference.along else [])]),
        values=len(measured),
        theirs=_ends([written[pair][0] for pair in measured]),
        ours=_ends([written[pair][1] for pair in measured]),
        difference=_ends([written[pair][2] for pair in far]),
    )


def _ends(values: Sequence[str]) -> str:
    return " to ".join(dict.fromkeys((values[0], values[-1])))


def _written(pair: Pair, unit: Unit) -> tuple[str, str, str]:
    """Theirs, ours and ours less theirs in a unit, which stands in the heading.

    >>> _written(Pair(3, 0.9217, 0.9180, 2), Unit(" %", 100, decimals=2)), _written(Pair(3, 640, 1106.4, 2), Unit())
    (('92.17', '91.80', '\N{MINUS SIGN}0.37'), ('640', '1,106', '466'))
    """
    theirs = _as_given(unit.factor * pair.theirs)
    ours = _finely(unit.factor * pair.ours, theirs) if unit.decimals is None else unit.digits(pair.ours)
    return theirs, ours, _less(unit.factor * (pair.ours - pair.theirs), ours)


def _unit(reference: Reference) -> Unit:
    return quantity_unit(reference.value.model_dump())


def _as_given(value: float) -> str:
    """A source's value with all digits that it has."""
    mantissa, _, exponent = f"{value:,.6g}".partition("e")
    return mantissa.replace("-", MINUS) + (f"·{power_of_ten(int(exponent))}" if exponent else "")


def _finely(value: float, like: str) -> str:
    """`value` in three digits, and in as many decimals as the number `like` has where that says more.

    >>> _finely(0.92113, "0.9217"), _finely(0.92113, "0.92"), _finely(1936, "1,928"), _finely(0.00041132, "0.0004")
    ('0.9211', '0.921', '1,936', '4.11·10⁻⁴')
    """
    text = number(value)
    if "·" in like or "·" in text or not math.isfinite(value):
        return text
    fixed = f"{value:,.{_decimals(like)}f}".replace("-", MINUS)
    return fixed if min(3, _digits(text)) < _digits(fixed) <= max(4, _digits(like)) else text


def _less(difference: float, ours: str) -> str:
    """A difference from a number that is written as `ours`, in its decimals where it has that many.

    >>> _less(-0.00059, "0.9211"), _less(1.13e-5, "4.11·10⁻⁴"), _less(0.00002, "0.9211"), _less(1670.6, "3,599")
    ('\N{MINUS SIGN}0.0006', '1.13·10⁻⁵', '2·10⁻⁵', '1,671')
    """
    if "·" in number(difference) and "·" not in ours and round(difference, _decimals(ours)):
        return f"{difference:.{_decimals(ours)}f}".replace("-", MINUS)
    return _finely(difference, ours)


def _decimals(text: str) -> int:
    return len(text.partition(".")[2])


def _digits(text: str) -> int:
    """How many digits from the first that is not 0."""
    return len(re.sub("[^0-9]", "", text).lstrip("0"))


def _quantity(reference: Reference) -> str:
    """The column in words, with its unit where they do not say it."""
    name = axis_name(reference.value.column.removesuffix("_db")).replace("snr", "SNR")
    sign = _unit(reference).sign.strip()
    return f"{name} ({sign})" if sign not in name else name


def _where(reference: Reference) -> list[str]:
    """The conditions of a reference in words: a name alone, a number after its axis."""
    words = []
    for key, wanted in reference.value.where.items():
        values = wanted if isinstance(wanted, list) else [wanted]
        text = " or ".join(axis_value(key, value) for value in values)
        words.append(text if all(isinstance(value, str) for value in values) else f"{axis_name(key)} {text}")
    return words
