"""What a run says first where its case does not ask about gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from gradbench.analysis.answer import answer
from gradbench.analysis.tables import Run
from gradbench.results import CLAIMS

NAN = float("nan")


def a_run(statuses: dict[str, str], table: str = "activations", column: str = "alpha", **case: Any) -> Run:
    """A run with a claim "It is NAME" for each name, all of them about the same column."""
    measured = {
        "held": (0.99, 3, ""),
        "not held": (0.5, 3, ""),
        "undecided": (0.98, 3, "the interval does not clear it"),
        "not measured": (NAN, 0, "it did not finish"),
    }
    rows = []
    for name, status in statuses.items():
        value, seeds, reason = measured[status]
        row = {"claim": name, "says": f"It is {name}", "source": "", "status": status, "value": value}
        rows.append({**row, "low": NAN, "high": NAN, "test": ">= 0.97", "seeds": seeds, "reason": reason})
    claims = [{"name": name, "value": {"table": table, "column": column}, "minus": None} for name in statuses]
    frame = pd.DataFrame(rows, columns=[column.name for column in CLAIMS.columns])
    return Run(Path(), {"settings": {"claim": claims, **case}}, (), {"claims": frame})


ALL_HELD = dict.fromkeys("abcd", "held")
MIXED = {"a": "held", "b": "not measured", "c": "not held", "d": "held"}


def test_a_number_that_was_asked_for_stands_alone() -> None:
    run = a_run({"a": "not held"})
    run.tables["claims"]["test"] = "== 1"
    assert answer(run) == "Not held: It is a (0.5, asked for 1)."


def test_where_all_claims_are_held_the_first_two_answer() -> None:
    assert answer(a_run(ALL_HELD)) == (
        "Held: It is a (0.99 >= 0.97). Held: It is b (0.99 >= 0.97). All 4 claims of the case are held."
    )
    assert answer(a_run({"a": "held"})) == "Held: It is a (0.99 >= 0.97)."


def test_a_claim_that_is_not_held_is_said_first() -> None:
    assert answer(a_run(MIXED)) == (
        "Not held: It is c (0.5, asked for >= 0.97). Of the case's 4 claims 2 are held, 1 is not and 1 was not "
        "measured."
    )


def test_the_case_may_name_the_claims_that_answer_in_its_order() -> None:
    assert answer(a_run(MIXED, answer=["d", "b"])).startswith(
        "Held: It is d (0.99 >= 0.97). Not measured: It is b (it did not finish). Of the case's 4 claims"
    )
    assert answer(a_run(MIXED, "gradients", answer=["a"])).startswith("Held: It is a")


def test_an_undecided_claim_has_its_number_and_its_reason() -> None:
    assert answer(a_run(MIXED | {"d": "undecided"}, answer=["d"])) == (
        "Undecided: It is d (0.98, asked for >= 0.97; the interval does not clear it). Of the case's 4 claims 1 is "
        "held, 1 is not, 1 is undecided and 1 was not measured."
    )


def test_nothing_measured_is_said() -> None:
    assert answer(a_run(dict.fromkeys("abc", "not measured"))) == "None of the case's 3 claims was measured."


@pytest.mark.parametrize(
    ("table", "column"), [("gradients", "cosine"), ("cells", "rel_error"), ("cells", "worst_noise_ratio")]
)
def test_a_case_with_claims_about_gradients_is_answered_by_the_verdict(table: str, column: str) -> None:
    assert answer(a_run(MIXED, table, column)) == ""
    run = a_run(MIXED)
    run.manifest["settings"]["claim"][2]["divided_by"] = {"table": table, "column": column}
    assert answer(run) == ""


def test_a_run_without_claims_has_no_answer() -> None:
    assert answer(a_run({})) == ""
    run = a_run(ALL_HELD)
    del run.manifest["settings"]
    assert answer(run) == ""
