"""Real runs of a tiny real case: a planted fault is found through the whole chain, gradient to exit code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gradbench.analysis.tables import read_run
from gradbench.compare.compare import compare
from gradbench.compare.comparison import Comparison
from gradbench.history.find import find_run
from gradbench.runner.run import RunOptions, Targets, run_cases

TARGETS = Targets(cell="planted_cells:run_cell", report="planted_cells:report")
CASE = """
schema = 1
title = "A tiny case"
seeds = 3

[matrix]
depth = [1, 2]

[model]
name = "hybrid"
width = 4
pooling = ["channel"]

[data]
name = "npz"
path = "{data}"
batch_size = 8
image_size = 8

[train]
strategies = "none"

[measure]
strategies = ["checkpoint"]
sgd_batches = 2
truth_batches = 1
cost = false
"""
Faults = Callable[[str], Path]


@pytest.fixture(scope="module")
def run_with(tmp_path_factory: pytest.TempPathFactory) -> Faults:
    """Run the case afresh with a fault and return the run's folder."""
    folder = tmp_path_factory.mktemp("real")
    rng = np.random.default_rng(0)
    images = {f"x_{part}": rng.integers(256, size=(32, 8, 8, 3), dtype=np.uint8) for part in ("train", "test")}
    labels = {f"y_{part}": rng.integers(10, size=32) for part in ("train", "test")}
    np.savez(folder / "images.npz", **images, **labels)
    (folder / "tiny.toml").write_text(CASE.format(data=folder / "images.npz"), encoding="utf-8")

    def run(fault: str) -> Path:
        (folder / "fault.txt").write_text(fault, encoding="utf-8")
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(Path(__file__).parent)
            options = RunOptions(cases=(str(folder / "tiny.toml"),), out=folder / "out", device="cpu", fresh=True)
            assert run_cases(options, TARGETS) == 0
        return find_run("tiny/latest", folder / "out")

    return run


@pytest.fixture(scope="module")
def base(run_with: Faults) -> Path:
    return run_with("error 0.01")


def compared(base: Path, new: Path) -> Comparison:
    return compare(read_run(base), read_run(new))


def test_a_run_done_again_is_identical(run_with: Faults, base: Path) -> None:
    comparison = compared(base, run_with("error 0.01"))
    assert comparison.identical
    assert comparison.exit_code == 0
    assert comparison.coverage.compared == 12


def test_a_strategy_30_percent_worse_is_found(run_with: Faults, base: Path) -> None:
    comparison = compared(base, run_with("error 0.013"))
    assert comparison.exit_code == 1
    (finding,) = comparison.findings
    assert (finding.kind, finding.check, finding.strategy) == ("regression", "rel_error", "checkpoint")
    assert finding.ratio == pytest.approx(1.3, rel=1e-4)
    assert finding.base == pytest.approx(0.01, rel=1e-3)
    assert finding.p == 2 / 2**6


def test_a_strategy_that_became_random_is_found(run_with: Faults, base: Path) -> None:
    comparison = compared(base, run_with("random 0.01"))
    assert comparison.exit_code == 1
    assert [finding.check for finding in comparison.regressions] == ["repeatability"]


def test_a_changed_running_statistic_is_found(run_with: Faults, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    comparison = compared(base, run_with("buffers"))
    faults = [line for line in capsys.readouterr().out.splitlines() if line.startswith("fault after one step: ")]
    assert len(faults) == 1
    assert faults[0].startswith("fault after one step: checkpoint, buffers: ")
    assert faults[0].endswith("not what stored training leaves (depth 1 and 1 more cell)")
    assert comparison.exit_code == 1
    assert [finding.check for finding in comparison.regressions] == ["changed buffers", "faults"]
    assert "rel_error" in [finding.check for finding in comparison.findings if finding.kind == "improvement"]
