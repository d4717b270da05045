"""The four outputs of a comparison: whole, in order, and safe for what a case or a layer may be called."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from gradbench.compare.comparison import Comparison, Coverage, Difference, Finding, Rules, Side
from gradbench.compare.outcome import Test as Looked  # pytest would take a `Test` for its own
from gradbench.compare.outcome import frame
from gradbench.report.comparison import FORMATS, as_json, junit, markdown, text

HOSTILE = "layer<script>&\x1b[31m\x00|`x`"
NOTHING = (math.nan,) * 5


def finding(kind: Any, check: str, says: str, *numbers: float, setting: dict[str, Any] | None = None) -> Finding:
    ratio, low, high, p, adjusted = numbers or NOTHING
    return Finding(kind, check, "checkpoint", setting or {}, HOSTILE, 1.0, 2.0, ratio, low, high, p, adjusted, 12, says)


@pytest.fixture
def comparison() -> Comparison:
    says = (
        f"rel_error of checkpoint: 2 times, 0.1 -> 0.2 (95 % interval 1.9 to 2.1 times); the most in {HOSTILE}: 3 times"
    )
    point = {"model": "hybrid", "depth": 3}
    nowhere: dict[str, Any] = {}
    tests = [
        Looked("gate", "verdict", "checkpoint", "setting", point, 3, "exact", "exact", "no change"),
        Looked("gate", "claim", "", "all", nowhere, 3, "held", "held", "no change", parameter="a-claim"),
        Looked(
            "paired", "rel_error", "checkpoint", "all", nowhere, 12, 0.1, 0.2, "regression", says, ratio=2.0, p=0.001
        ),
        replace(
            Looked("paired", "rel_error", "checkpoint", "all", nowhere, 12, 0.1, 0.2, "improvement", says),
            parameter="conv.weight",
            view="single",
        ),
        Looked("paired", "loss", "stored", "all", nowhere, 12, 1.0, 1.01, "no change", ratio=1.01, p=0.5, adjusted=0.5),
        Looked("paired", "time_ratio", "stored", "all", nowhere, 3, 1.0, 1.5, "no change", ratio=1.5, p=0.25),
        Looked("paired", "accuracy", "stored", "all", nowhere, 3, 0.5, 0.4, "too few pairs", p=0.25, seeds_needed=6),
        Looked("paired", "accuracy", "stored", "setting", point, 3, 0.5, 0.4, "not tested"),
        Looked("exact", "peak_bytes", "stored", "all", nowhere, 1, 1.0, math.inf, "identical", ratio=math.inf),
    ]
    return Comparison(
        base=Side("a", "reports/case/a", {"case": "case", "environment": {"torch": "2.9.0"}}),
        new=Side("b", "reports/case/b", {"case": "case", "environment": {"torch": "2.9.0"}}),
        rules=Rules(),
        same_environment=True,
        differences=(Difference("commit", "0123", f"4567 {HOSTILE}"), Difference("train.steps", "20", "30")),
        coverage=Coverage(10, tuple(f"hybrid depth={depth} seed=0 stored" for depth in range(30)), 2, 40),
        identical=False,
        findings=(
            finding("regression", "rel_error", says, 2.0, 1.9, 2.1, 0.001, 0.002),
            finding("improvement", "verdict", "verdict of checkpoint at depth=3: exact, was below-noise, in seed 0"),
            finding(
                "advisory", "time_ratio", "time_ratio of checkpoint: 1.5 times, 1 -> 1.5", 1.5, 1.4, math.inf, 0.1, 0.1
            ),
        ),
        tests=frame(tests),
        sentence="1 regression, in the 10 of 40 measurements that both finished; 30 that the base has are missing.",
    )


def test_text_begins_with_the_sentence_then_what_is_worse(comparison: Comparison) -> None:
    lines = text(comparison).splitlines()
    assert lines[0] == comparison.sentence
    headings = [line for before, line in pairwise(lines) if not before and line[:1].isupper()]
    assert headings == [
        "Regressions",
        "Improvements",
        "Told, not judged",
        "Changed too little or by chance (new over base)",
        "Differences",
        "Missing",
    ]
    assert "  loss: stored 1.01" in lines
    assert not [line for line in lines if "time_ratio: stored" in line], "times are not judged"
    assert "  train.steps  20 -> 30" in lines
    assert "  and 22 more" in lines
    whole = "10 of 40 measurements (a cell under a strategy) that the base finished"
    assert lines[-2] == f"compared  {whole}, 30 missing, 2 only in the new run"
    assert lines[-1] == "rules     size 0.1, false-discovery rate 0.05, times told only"
    assert "\x1b" not in text(comparison), "no name may command the terminal"


@pytest.mark.parametrize("width", [40, 80])
def test_text_fits_a_terminal_and_loses_no_word(comparison: Comparison, width: int) -> None:
    broken = text(comparison, width)
    longest = max(len(word) for word in text(comparison).split())
    assert max(map(len, broken.splitlines())) <= max(width, longest + 4)
    assert broken.split() == text(comparison).split()


def test_json_says_everything_and_is_json(comparison: Comparison) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(word)

    document = json.loads(as_json(comparison), parse_constant=refuse)
    assert list(document) == [
        "schema", "case", "exit_code", "sentence", "base", "new", "rules", "same_environment", "identical", "coverage",
        "findings", "differences", "tests",
    ]  # fmt: skip
    assert document["exit_code"] == 1
    assert document["base"] == {"run": "a", "folder": "reports/case/a", "environment": {"torch": "2.9.0"}}
    assert document["findings"][2]["high"] == "inf"
    assert document["findings"][1]["ratio"] is None
    assert document["findings"][0]["parameter"] == HOSTILE
    assert document["tests"][0]["setting"] == {"model": "hybrid", "depth": 3}
    assert document["coverage"]["planned"] == 40


def test_markdown_is_harmless(comparison: Comparison) -> None:
    page = markdown(comparison)
    assert page.startswith(f"**{comparison.sentence}**\n\n## Regressions\n\n- rel\\_error")
    assert "<script>" not in page.replace("\\<script\\>", "")
    assert "| rel\\_error | checkpoint | 1 | 2 | 2 | 1.9 to 2.1 | 0.002 | 12 |" in page
    assert "- and 10 more" in page
    for line in page.splitlines():
        if line.startswith("|"):
            assert line.endswith("|")


def test_junit_has_a_case_for_everything_that_was_tested(comparison: Comparison) -> None:
    suite = ElementTree.fromstring(junit(comparison))[0]
    counts = {name: int(str(suite.get(name))) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": 8 + 30, "failures": 1, "errors": 30, "skipped": 1}
    entries = {entry.get("name"): entry for entry in suite.iter("testcase")}
    assert entries["verdict at hybrid depth=3"].get("classname") == "case.checkpoint"
    assert entries["a-claim"].get("classname") == "case.claims"
    failure = entries["rel_error at all settings"].find("failure")
    assert failure is not None
    assert "the most in layer<script>&\N{REPLACEMENT CHARACTER}[31m" in str(failure.get("message"))
    assert "rel_error at all settings in conv.weight" in entries
    assert entries["accuracy at all settings"].find("skipped") is not None


def test_every_format_has_its_word(comparison: Comparison, tmp_path: Path) -> None:
    assert list(FORMATS) == ["table", "json", "markdown", "junit"]
    for write in FORMATS.values():
        assert write(comparison).endswith("\n")
