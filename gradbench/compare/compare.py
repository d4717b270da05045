"""Two runs of a case into one `Comparison`: exact first, then gates, then paired tests."""

from __future__ import annotations

from dataclasses import replace

from gradbench.analysis.tables import Run
from gradbench.analysis.units import claims_of
from gradbench.compare.comparison import Comparison, Rules, Side
from gradbench.compare.differences import differences
from gradbench.compare.environment import environment
from gradbench.compare.identity import is_identical
from gradbench.compare.judge import judge_claims, judge_gates
from gradbench.compare.match import match
from gradbench.compare.outcome import findings, frame
from gradbench.compare.paired import compare_numbers
from gradbench.compare.sentence import sentence
from gradbench.errors import UsageError

__all__ = ["compare"]

_DEFAULT = Rules()


def compare(base: Run, new: Run, rules: Rules = _DEFAULT) -> Comparison:
    """Hold the run `new` against the run `base`, see docs/compare.md.

    Raises:
        UsageError: they are runs of different cases, or the base has verdicts and no gradients to hold others against.
    """
    cases = [str(run.manifest.get("case", "")) for run in (base, new)]
    if cases[0] != cases[1]:
        raise UsageError(
            f"{new.folder}: a run of {cases[1]}, and {base.folder} is one of {cases[0]}; compare runs of one case"
        )
    judged = base.tables["cells"].query("verdict != '' and strategy != reference")
    if base.tables["gradients"].empty and len(judged):
        raise UsageError(f"{base.folder}: its gradients.csv has no rows, though its cells have verdicts")
    matched = match(base, new)
    claims, lost, retested = judge_claims(matched, {claim["claim"]: claim["unit"] for claim in claims_of(new)})
    coverage = replace(matched.coverage, missing=(*matched.coverage.missing, *(f"claim {name}" for name in lost)))
    same_environment = environment(base.manifest) == environment(new.manifest)
    tests = [*judge_gates(matched), *claims, *(compare_numbers(matched, rules) if same_environment else ())]
    found, identical = findings(tests), coverage.compared > 0 and is_identical(matched)
    different = (*differences(base.manifest, new.manifest), *retested)
    untested = [test for test in tests if test.outcome == "too few pairs"]
    return Comparison(
        base=_side(base),
        new=_side(new),
        rules=rules,
        same_environment=same_environment,
        differences=different,
        coverage=coverage,
        identical=identical,
        findings=found,
        tests=frame(tests),
        sentence=sentence(found, coverage, different, untested, identical=identical, same_environment=same_environment),
    )


def _side(run: Run) -> Side:
    return Side(str(run.manifest.get("run") or run.folder.name), str(run.folder), run.manifest)
