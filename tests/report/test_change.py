"""What changed since the run before stands on the page, and nothing where there is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from gradbench.analysis.tables import read_run
from gradbench.report.build import build
from gradbench.report.change import change_since

INJECTION = "<script>window.injected = 1</script>"


@pytest.fixture
def runs(tmp_path: Path, write_run: Callable[..., Path]) -> list[Path]:
    """Two runs of one case, a day apart; in the second a parameter has no gradient."""
    found = []
    for day in (1, 2):
        folder = write_run(tmp_path / "case" / f"2026110{day}", depths=(3,), slopes=(0.2,), seeds=2, train=False)
        manifest = json.loads((folder / "manifest.json").read_text())
        times = {"started": f"2026-11-0{day}T01:00:00Z", "finished": f"2026-11-0{day}T02:00:00Z"}
        (folder / "manifest.json").write_text(json.dumps(manifest | times | {"run": folder.name}))
        found.append(folder)
    cells = pd.read_csv(found[1] / "cells.csv", dtype=str, keep_default_na=False)
    cells.loc[cells["strategy"] == "checkpoint", ["missing_gradients", "verdict"]] = ["2", "broken"]
    cells.to_csv(found[1] / "cells.csv", index=False)
    return found


def test_the_first_run_has_nothing_to_be_held_against(runs: list[Path]) -> None:
    assert change_since(read_run(runs[0])) is None
    assert 'id="change"' not in build(runs[0]).read_text(encoding="utf-8")
    assert "What changed" not in (runs[0] / "summary.md").read_text(encoding="utf-8")


def test_the_next_run_says_what_changed_before_its_claims(runs: list[Path]) -> None:
    change = change_since(read_run(runs[1]))
    assert change is not None
    assert change.base.run == runs[0].name
    assert any(finding.strategy == "checkpoint" for finding in change.regressions)
    page = build(runs[1]).read_text(encoding="utf-8")
    assert page.index('id="verdict"') < page.index('id="change"') < page.index('id="sources"')
    section = page[page.index('id="change"') : page.index('id="sources"')]
    assert section.count(">regression<") == len(change.regressions)
    assert runs[0].name in section
    assert runs[0].name in (runs[1] / "summary.md").read_text(encoding="utf-8")


def test_an_earlier_run_that_cannot_be_read_is_passed_over(runs: list[Path]) -> None:
    (runs[0] / "gradients.csv").unlink()
    assert change_since(read_run(runs[1])) is None
    assert 'id="change"' not in build(runs[1]).read_text(encoding="utf-8")


def test_a_hostile_name_in_a_finding_stays_text(runs: list[Path]) -> None:
    for folder in runs:
        for name in ("cells", "gradients", "activations"):
            path = folder / f"{name}.csv"
            path.write_text(path.read_text(encoding="utf-8").replace("checkpoint", INJECTION), encoding="utf-8")
    page = build(runs[1]).read_text(encoding="utf-8")
    section = page[page.index('id="change"') : page.index('id="sources"')]
    assert "window.injected" in section
    assert "<script" not in section
