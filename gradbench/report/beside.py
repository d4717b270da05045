"""What the sources of a case say, beside what the run has: their claims, what differs, and their values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gradbench.analysis.tables import Run
from gradbench.case.schema import Difference
from gradbench.report.references import ReferenceTable, reference_table
from gradbench.report.rows import ClaimRow, claim_rows

__all__ = ["Beside", "beside_the_source", "differences_of"]

#: A claim of our own; one "gradbench, against ..." disputes what a source says.
_OWN = re.compile("gradbench(?!, against)")


@dataclass(frozen=True)
class Beside:
    """The claims of sources and our own, what differs from the sources' setup, and the sources' values.

    `profile` is the run's where it is not the one that the differences are of; else empty.
    """

    profile: str
    claims: tuple[ClaimRow, ...]
    own: tuple[ClaimRow, ...]
    differences: tuple[Difference, ...]
    references: ReferenceTable

    def __bool__(self) -> bool:
        """Whether there is anything of a source."""
        return bool(self.claims or self.differences or self.references.rows)


def beside_the_source(run: Run, claims: Sequence[dict[str, Any]]) -> Beside:
    """What the sources say and the run has; `claims` are rows of `results.CLAIMS`."""
    rows = claim_rows(claims)
    own = [bool(_OWN.match(row.source)) for row in rows]
    profile = str(run.manifest.get("profile") or "full")
    return Beside(
        "" if profile == "full" else profile,
        tuple(row for row, ours in zip(rows, own, strict=True) if not ours),
        tuple(row for row, ours in zip(rows, own, strict=True) if ours),
        tuple(differences_of(run)),
        reference_table(run),
    )


def differences_of(run: Run) -> Iterator[Difference]:
    """What the run's case says of its sources' setup; a run of an older case says nothing."""
    for entry in run.manifest.get("settings", {}).get("difference", []):
        yield Difference.model_validate(entry)
