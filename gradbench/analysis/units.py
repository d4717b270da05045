"""What a claim's number is a number of: points or percent of accuracy, decibels, bytes, seconds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from gradbench.analysis.tables import Run
from gradbench.results import TABLES

__all__ = ["PLAIN", "Unit", "claims_of", "quantity_unit", "unit_of"]


@dataclass(frozen=True)
class Unit:
    """What follows a number when it is written, and what it is multiplied with first."""

    sign: str = ""
    factor: int = 1
    decimals: int | None = None

    def digits(self, value: float) -> str:
        """A number in four digits, or with as many decimals as all of its kind have; without its unit.

        >>> POINTS.digits(0.0033), PERCENT.digits(0.92)
        ('0.33', '92.00')
        """
        value *= self.factor
        return f"{value:.4g}" if self.decimals is None else f"{value:.{self.decimals}f}"

    def amount(self, value: float) -> str:
        """A number with its unit; what stands beside it, an end of its interval, needs none.

        >>> POINTS.amount(0.0033)
        '0.33 points'
        """
        return f"{self.digits(value)}{self.sign}"

    def test(self, text: str) -> str:
        """The comparison that such a number is held against, with all digits that it has.

        >>> POINTS.test("<= 0.008"), POINTS.test("> -0"), Unit(" dB").test(">= -3.5e2")
        ('<= 0.8', '> 0', '>= -3.5e2')
        """
        if self.factor == 1:
            return text
        return re.sub(r"-?[0-9].*", lambda bound: f"{(self.factor * Decimal(bound[0])).normalize() + 0:f}", text)


#: A ratio, a share or a count.
PLAIN = Unit()
PERCENT, POINTS = Unit(" %", 100, decimals=2), Unit(" points", 100)
_SIGNS = {"byte": "bytes"}


def unit_of(claim: Mapping[str, Any]) -> Unit:
    """The unit of a claim's number.

    Args:
        claim: as the manifest has it.
    """
    given = (claim.get(name) for name in ("value", "minus", "divided_by"))
    units = [quantity_unit(quantity) for quantity in given if quantity]
    if claim.get("divided_by") or any(one != units[0] for one in units):
        return PLAIN
    return POINTS if claim.get("minus") and units[0] == PERCENT else units[0]


def quantity_unit(quantity: Mapping[str, Any]) -> Unit:
    """The unit of one quantity of a claim, as the manifest has it."""
    if quantity.get("within") == "share":
        return PLAIN
    over = quantity.get("slope_over")
    if quantity["column"] == "accuracy":
        return PLAIN if over else PERCENT
    columns = TABLES[quantity["table"]].columns if quantity["table"] in TABLES else ()
    unit = next((column.unit for column in columns if column.name == quantity["column"]), "")
    pixel = " per pixel" if quantity["column"].endswith("_per_pixel") else ""
    per = f" per {over.replace('_', ' ')}" if over else ""
    return Unit(f" {_SIGNS.get(unit, unit)}{pixel}{per}") if unit else PLAIN


def claims_of(run: Run) -> list[dict[str, Any]]:
    """The run's claims, rows of `results.CLAIMS`, each with its `unit`; plain where the manifest lacks the claim."""
    claims = (run.manifest.get("settings") or {}).get("claim") or []
    units = {claim["name"]: unit_of(claim) for claim in claims}
    rows = run.tables["claims"].to_dict("records")
    return [{str(key): value for key, value in row.items()} | {"unit": units.get(row["claim"], PLAIN)} for row in rows]
