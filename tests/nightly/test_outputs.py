"""What is told of a night: Markdown, JUnit, GitHub's annotations, JSON; and its exit code."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gradbench.errors import EnvironmentError, UsageError
from gradbench.nightly.github import notes, tell_github
from gradbench.nightly.judge import failed
from gradbench.nightly.junit import junit
from gradbench.nightly.markdown import markdown
from gradbench.nightly.outcome import Check, Outcome, from_json, same_place, to_json, worst
from gradbench.nightly.record import read_night, record

_NASTY = "a|b <script> `x` *y*\x00\x1b, 50 %: c\nd & ]]>"
_QUIET = Outcome("mine", "no regression", 0, "Identical.", "2.13.0", "torch 2.13.0, a CPU", environment="e", run="r")
_WORSE = replace(
    _QUIET,
    state="regression",
    code=1,
    sentence="1 regression.",
    baseline="b",
    regressions=(_NASTY,),
    missing=("depth=2 seed=1 stored: error",),
    claims={"held": 3, "not held": 1},
    checks=(Check("reconstruct at depth=3", (_NASTY, "another")), Check("claims")),
    seconds=12.5,
)
_FAILED = Outcome("broken", "failed", 2, "broken.toml: a mistake", "2.13.0")


def test_junit_counts_what_failed_and_survives_any_text() -> None:
    root = ElementTree.fromstring(junit("2026-01-05", [_WORSE, _FAILED, replace(_QUIET, state="no baseline")]))
    counts = {"tests": "6", "failures": "1", "errors": "2", "skipped": "1"}
    assert {name: root.attrib[name] for name in counts} == counts
    failure = root.find(".//testcase[@name='reconstruct at depth=3']/failure")
    assert failure is not None
    assert failure.attrib["message"].startswith("a|b <script> `x` *y*??, 50 %: c")
    assert failure.text is not None
    assert failure.text.endswith("another")
    assert [suite.attrib["time"] for suite in root] == ["12.5", "0.0", "0.0"]


def test_markdown_makes_text_harmless() -> None:
    text = markdown("2026-01-05", [_WORSE])
    assert "- a\\|b \\<script\\> \\`x\\` \\*y\\*" in text
    assert "3 held, 1 not held" in text
    assert "<script" not in text.replace("\\<script", "")


def test_a_long_list_is_cut_and_says_so() -> None:
    text = markdown("2026-01-05", [replace(_WORSE, missing=tuple(f"cell {number}" for number in range(25)))])
    assert "- cell 19\n- and 5 more" in text
    assert "cell 20" not in text


def test_annotations_are_escaped_and_errors_come_first() -> None:
    lines = list(notes([replace(_QUIET, state="no baseline"), _WORSE, _FAILED]))
    assert [line.partition(" ")[0] for line in lines] == ["::error", "::error", "::warning", "::warning"]
    assert lines[0].startswith("::error title=mine%2C torch 2.13.0::a|b ")
    assert lines[0].endswith("50 %25: c%0Ad & ]]>")
    assert all("\n" not in line for line in lines)
    assert lines[1].endswith("::broken.toml: a mistake")


def test_github_is_told_only_where_it_listens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tell_github("2026-01-05", [_WORSE], {})
    assert capsys.readouterr().out == ""
    summary = tmp_path / "step.md"
    summary.write_text("before\n")
    tell_github("2026-01-05", [_WORSE], {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)})
    assert capsys.readouterr().out.startswith("::error title=")
    assert summary.read_text() == f"before\n{markdown('2026-01-05', [_WORSE])}\n"
    with pytest.raises(EnvironmentError, match="cannot write"):
        tell_github("2026-01-05", [_WORSE], {"GITHUB_STEP_SUMMARY": str(tmp_path)})


@pytest.mark.parametrize(
    ("codes", "code"), [([], 0), ([0, 0], 0), ([0, 3], 3), ([1, 4, 3], 1), ([3, 4], 4), ([2, 0], 2)]
)
def test_the_exit_code_is_1_where_anything_regressed_else_the_largest(codes: list[int], code: int) -> None:
    assert worst([replace(_QUIET, code=each) for each in codes]) == code


def test_a_night_gathers_its_cases_and_replaces_those_that_are_told_again(tmp_path: Path) -> None:
    failed = replace(_FAILED, case="mine", torch="2.13.0+cpu")
    other = replace(_QUIET, torch="2.9.0", place="torch 2.9.0, a CPU", environment="f")
    for outcome in (failed, other, _WORSE, replace(_QUIET, case="zebra"), _QUIET):
        folder = record(tmp_path, "2026-01-05", outcome)
    assert read_night(folder) == [_QUIET, other, replace(_QUIET, case="zebra")]
    assert json.loads((folder / "nightly.json").read_text())["date"] == "2026-01-05"
    assert (folder / "summary.md").read_text().startswith("# Night of 2026-01-05\n\n**3 no regression**")


def test_a_case_that_failed_is_told_from_others_by_its_sets_as_runs_are() -> None:
    outcome = failed("mine", ("seeds=3", "depth=1", "seeds=2"), "no GPU", 4, 0.5)
    ran = replace(_QUIET, torch=f"{outcome.torch.partition('+')[0]}+another-build", sets=("depth=1", "seeds=2"))
    assert same_place(outcome, ran)
    assert not same_place(outcome, replace(ran, sets=("depth=1",)))
    assert not same_place(outcome, replace(ran, torch="2.0.0"))


def test_an_outcome_survives_json() -> None:
    for outcome in (_QUIET, _WORSE, _FAILED):
        assert from_json(json.loads(json.dumps(to_json(outcome)))) == outcome


def test_a_damaged_night_is_said_and_left_alone(tmp_path: Path) -> None:
    folder = record(tmp_path, "2026-01-05", _QUIET)
    (folder / "nightly.json").write_text("{")
    with pytest.raises(UsageError, match=r"nightly.json: damaged"):
        record(tmp_path, "2026-01-05", _QUIET)
    assert (folder / "nightly.json").read_text() == "{"
