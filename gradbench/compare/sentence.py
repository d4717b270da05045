"""The outcome of a comparison in one sentence, which never says more than was compared."""

from __future__ import annotations

from collections.abc import Sequence

from gradbench.compare.comparison import Coverage, Difference, Finding
from gradbench.compare.outcome import Test

__all__ = ["sentence"]


def sentence(
    findings: Sequence[Finding],
    coverage: Coverage,
    differences: Sequence[Difference],
    untested: Sequence[Test],
    *,
    identical: bool,
    same_environment: bool,
) -> str:
    """Say what came out, over how much, and what could not be told.

    Args:
        findings: the worst first.
        coverage: how much was compared.
        differences: of the environment, which come first among those of the manifests.
        untested: what changed and has too few pairs for a test.
        identical: whether every firm number is the same.
        same_environment: whether numbers were compared pair by pair.
    """
    if not coverage.compared and not findings:
        return f"Nothing was compared: {_missing(coverage) or 'neither run finished a cell that the other has'}."
    regressions = [finding for finding in findings if finding.kind == "regression"]
    where = f"in {_share(coverage)}"
    if regressions:
        worst = regressions[0].says.partition(" (")[0].partition("; ")[0]
        count = "1 regression" if len(regressions) == 1 else f"{len(regressions)} regressions, the first"
        said = f"{count}: {worst}; found {where}"
    elif identical:
        said = f"Identical: every firm number is the same bit for bit {where}"
        said = f"{said}, but {_untested(untested)}" if untested else said
    else:
        gates = "" if same_environment else " by the gates"
        said = f"No regression{gates} {where}"
        said = f"No regression was found {where}, but {_untested(untested)}" if untested else said
    improved = sum(finding.kind == "improvement" for finding in findings)
    parts = [said]
    if improved:
        parts.append(f"{improved} improvement{'s' if improved > 1 else ''}")
    if coverage.missing:
        parts.append(_missing(coverage))
    if not same_environment and not identical:
        named = ", ".join(f"{one.name} {one.base} -> {one.new}" for one in differences[:2])
        parts.append(f"the environments differ ({named}), so numbers were not compared pair by pair")
    return f"{'; '.join(parts)}."


def _share(coverage: Coverage) -> str:
    """The coverage in words; a measurement is a row of `cells`, a cell under a strategy."""
    if coverage.compared == coverage.planned:
        return f"all {coverage.planned} measurements that the base finished"
    return f"the {coverage.compared} of {coverage.planned} measurements that both finished"


def _missing(coverage: Coverage) -> str:
    if not coverage.missing:
        return ""
    return f"{len(coverage.missing)} that the base has {'are' if len(coverage.missing) > 1 else 'is'} missing"


def _untested(untested: Sequence[Test]) -> str:
    names = list(dict.fromkeys(f"{test.check} of {test.strategy}" for test in untested))
    named = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    seeds = max(test.seeds_needed for test in untested)
    enough = f" ({seeds} seeds would do)" if seeds else ""
    return f"{named} changed and {'have' if len(names) > 1 else 'has'} too few pairs for a test{enough}"
