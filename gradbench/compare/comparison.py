"""What a comparison of two runs found; every output (text, JSON, Markdown, JUnit, HTML) is a reader of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from gradbench.errors import EXIT

__all__ = ["Comparison", "Coverage", "Difference", "Finding", "Rules", "Side"]


@dataclass(frozen=True)
class Rules:
    """When a change is a regression.

    Attributes:
        size: the relative change of a number from which on it counts, 0.1 for 10 %.
        rate: the false-discovery rate of the tests.
        timings: whether times are judged, which depend on the load of the machine.
    """

    size: float = 0.1
    rate: float = 0.05
    timings: bool = False


@dataclass(frozen=True)
class Side:
    """One of the two runs: its id, its folder's path as the user would type it, and what its manifest says."""

    run: str
    folder: str
    manifest: Mapping[str, Any]


@dataclass(frozen=True)
class Difference:
    """An entry of the two manifests that is not the same and may move numbers: versions, device, threads, settings."""

    name: str
    base: str
    new: str


@dataclass(frozen=True)
class Coverage:
    """How many rows of `cells` (a cell and a strategy) could be compared.

    Attributes:
        compared: finished in both runs.
        missing: labels of those that the base finished and the new run lacks or did not come to, and of claims that it
            no longer measures.
        added: how many only the new run has.
        planned: how many the base finished.
    """

    compared: int
    missing: tuple[str, ...]
    added: int
    planned: int = 0


@dataclass(frozen=True)
class Finding:
    """One thing that changed.

    Attributes:
        kind: `regression` and `improvement` pass the rules; `advisory` is worse only in what is not judged.
        check: the gate ("status", "verdict", "missing gradients", "changed buffers", "faults", "repeatability",
            "claim") or the column that was tested.
        strategy: whose; empty for a claim.
        setting: the axes' values; empty where the finding is about all settings.
        parameter: the weight tensor or layer that shows it most, or the claim; empty where there is none.
        base: the number or word of the base run.
        new: that of the new run.
        ratio: new over base for numbers, geometric mean over pairs; nan where there is none.
        low: lower end of its 95 % interval.
        high: upper end of it.
        p: of the exact test; nan for a gate.
        adjusted: p adjusted for the false-discovery rate.
        pairs: how many pairs the test rests on.
        says: the finding in one sentence.
    """

    kind: Literal["regression", "improvement", "advisory"]
    check: str
    strategy: str
    setting: Mapping[str, Any]
    parameter: str
    base: float | str
    new: float | str
    ratio: float
    low: float
    high: float
    p: float
    adjusted: float
    pairs: int
    says: str


@dataclass(frozen=True)
class Comparison:
    """Two runs of one case side by side.

    Attributes:
        base: the run to be held against.
        new: the run that is judged.
        rules: by which.
        same_environment: whether numbers may be compared pair by pair; else only gates are.
        differences: what differs between the two, see `Difference`.
        coverage: how much could be compared.
        identical: whether every firm number that both have is the same bit for bit.
        findings: the worst first.
        tests: a row for every hypothesis tested, with what it found; for tables and charts.
        sentence: the outcome in one sentence, coverage included.
    """

    base: Side
    new: Side
    rules: Rules
    same_environment: bool
    differences: tuple[Difference, ...]
    coverage: Coverage
    identical: bool
    findings: tuple[Finding, ...]
    tests: pd.DataFrame
    sentence: str

    @property
    def regressions(self) -> tuple[Finding, ...]:
        """The findings for which somebody is woken."""
        return tuple(finding for finding in self.findings if finding.kind == "regression")

    @property
    def exit_code(self) -> int:
        """1 on a regression, else 3 when cells are missing, else 0."""
        if self.regressions:
            return EXIT.FAILED
        return EXIT.INCOMPLETE if self.coverage.missing else EXIT.OK
