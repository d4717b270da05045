"""Whether somebody should look at a run: by its comparisons, its cells and its claims, in this order."""

from __future__ import annotations

import itertools
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gradbench.analysis.summary import Summary
from gradbench.history.series import Series
from gradbench.site.index import CaseCard
from gradbench.site.listed import Listed, Outcome, when, where
from gradbench.site.pairs import pairs_of
from gradbench.site.shelf import Entry, Pair, read_shelf


def entry(name: str, **manifest: Any) -> Entry:
    series = Series("case", "quick", (), manifest.pop("environment_key", "here"))
    return Entry("case", name, Path(name), manifest, series)


def summary(claims: tuple[str, ...] = (), **counts: int) -> Summary:
    rows = tuple({"status": status} for status in claims)
    empty: dict[str, Any] = dict.fromkeys((field.name for field in fields(Summary)), ())
    return Summary(**empty | {"claims": rows, "counts": counts})


def outcome(
    *why: Any, regressions: int = 0, missing: int = 0, improvements: int = 0, identical: bool = False
) -> Outcome:
    findings = {"regression": regressions, "improvement": improvements}
    return Outcome(Pair(entry("base"), entry("new"), why), "So.", identical, missing, findings)


def state(*outcomes: Outcome, of: Summary | None = None, baseline: str = "", **manifest: Any) -> tuple[str, str]:
    found = Listed(entry("new", **manifest), of or summary(ok=3), outcomes, baseline).standing
    return found.tone, found.words


def test_a_finished_run_is_fine() -> None:
    assert state() == ("good", "fine")
    assert state(of=summary(("held", "not measured"), ok=3, diverged=1, excluded=2)) == ("good", "fine")


@pytest.mark.parametrize("status", ["oom", "timeout", "error", "missing"])
def test_a_lost_cell_wants_a_look(status: str) -> None:
    assert state(of=summary(("not held",), ok=3, **{status: 1})) == ("look", "incomplete")


def test_an_interrupted_run_wants_a_look() -> None:
    assert state(state="interrupted") == ("look", "incomplete")


def test_a_claim_that_fails_wants_a_look() -> None:
    claims = summary(("held", "not held", "not held", "not measured"), ok=3)
    assert state(of=claims) == ("look", "2 claims not held")
    assert Listed(entry("new"), claims).claims == "1 of 3 claims held, 1 not measured"


def test_claims_in_words() -> None:
    assert Listed(entry("new"), summary(ok=1)).claims == "no claims"
    assert Listed(entry("new"), summary(("not measured",))).claims == "1 claim not measured"
    assert Listed(entry("new"), summary(("undecided",) * 2)).claims == "2 claims undecided"
    both = summary(("held", "undecided", "not measured"), ok=3)
    assert Listed(entry("new"), both).claims == "1 of 1 claims held, 1 undecided, 1 not measured"
    assert Listed(entry("new"), summary(("held", "held"))).claims == "2 of 2 claims held"


def test_the_baseline_decides_before_the_run_before() -> None:
    assert state(outcome("previous", regressions=2)) == ("bad", "2 regressions")
    assert state(outcome("previous", regressions=1), outcome("baseline")) == ("good", "fine")
    assert state(outcome("previous"), outcome("baseline", regressions=1)) == ("bad", "1 regression")
    assert state(outcome("baseline", "previous", regressions=1)) == ("bad", "1 regression")


def test_fewer_cells_than_before_want_a_look() -> None:
    assert state(outcome("previous", missing=3, identical=True)) == ("look", "3 missing")


def test_an_accepted_run_is_right_whatever_was_before() -> None:
    assert state(outcome("previous", regressions=1), baseline="meant so") == ("good", "fine")


def test_versions_and_chosen_runs_alarm_nobody() -> None:
    assert state(outcome("version", regressions=1), outcome("chosen", regressions=1)) == ("good", "fine")


def test_a_comparison_in_two_words() -> None:
    found = [
        outcome("previous", regressions=1, missing=1, identical=True),
        outcome("previous", missing=2, identical=True),
        outcome("previous", identical=True),
        outcome("previous", improvements=3),
        outcome("previous"),
    ]
    assert [one.standing.words for one in found] == [
        "1 regression",
        "2 missing",
        "identical",
        "3 better",
        "no regression",
    ]


def test_a_case_stands_as_badly_as_its_worst_environment() -> None:
    good = Listed(entry("1", environment_key="a"), summary(ok=1))
    bad = Listed(entry("2", environment_key="b"), summary(ok=1), (outcome("previous", regressions=1),))
    mended = Listed(entry("3", environment_key="b"), summary(ok=1))
    assert CaseCard("c", (bad, good)).worst.tone == "bad"
    assert CaseCard("c", (bad, good)).elsewhere == (bad,)
    assert CaseCard("c", (bad, mended, good)).worst.tone == "good"
    assert CaseCard("c", (good, bad)).elsewhere == ()


def test_when_and_where_in_words() -> None:
    manifest = {
        "started": "2026-11-22T03:31:33Z",
        "threads": 2,
        "environment": {"device": "cpu", "device_name": "EPYC", "torch": "2.13.0"},
    }
    assert when(manifest) == "2026-11-22 03:31 UTC"
    assert where(manifest) == "EPYC, torch 2.13.0, 2 threads"
    assert (when({}), where({})) == ("", "")


def test_each_run_is_paired_with_the_one_before_it_of_its_series(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    first = synthetic.add_run(tmp_path, "c", "run-0", 0)
    kinds = ["2.9.1", "2.13.0", "2.9.1", "2.13.0", "2.13.0"]
    for number, torch in enumerate(kinds, 1):
        synthetic.copy_run(first, f"run-{number}", number, torch=torch)
    found = {(pair.base.name, pair.new.name): pair.why for pair in pairs_of(read_shelf(tmp_path))}
    torches = dict(enumerate(["2.13.0", *kinds]))
    expected = {}
    for base, new in itertools.combinations(torches, 2):
        between = [torches[number] for number in range(base + 1, new)]
        if torches[base] == torches[new] and torches[new] not in between:
            expected[f"run-{base}", f"run-{new}"] = ("previous",)
    expected["run-3", "run-5"] = ("version",)
    assert found == expected
