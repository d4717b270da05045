"""What the base has and the new run lacks is missing, never "identical": rows, columns, whole tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from gradbench.analysis.tables import Run
from gradbench.compare.compare import compare
from gradbench.errors import EXIT, UsageError

Simulate = Callable[..., Run]
Edited = Callable[..., Run]


def without(run: Run, table: str, rows: Callable[[pd.DataFrame], Any]) -> Run:
    frame = run.tables[table]
    return replace(run, tables={**run.tables, table: frame[~rows(frame)]})


def test_rows_that_are_gone_are_missing(simulate: Simulate, stored_on_disk: Any) -> None:
    base = simulate()
    lost = without(base, "gradients", lambda rows: (rows["step"] == 20) & (rows["cell"] == "cell-4-1"))
    comparison = compare(stored_on_disk(base, "a"), stored_on_disk(lost, "b"))
    assert comparison.exit_code == EXIT.INCOMPLETE
    assert comparison.coverage.missing == tuple(
        f"depth=4 seed=1 {strategy}: 5 of 10 rows of gradients.csv"
        for strategy in ("approximate:4", "checkpoint", "reconstruct", "stored")
    )
    assert comparison.sentence.endswith("; 4 that the base has are missing.")


@pytest.mark.parametrize("table", ["gradients", "activations", "state"])
def test_a_table_without_rows_is_missing(simulate: Simulate, table: str) -> None:
    comparison = compare(simulate(), without(simulate(), table, lambda rows: rows["cell"] != ""))
    assert comparison.exit_code == EXIT.INCOMPLETE
    assert all(f"rows of {table}.csv" in one for one in comparison.coverage.missing)


def test_renamed_tensors_are_missing(simulate: Simulate, edited: Edited) -> None:
    renamed = edited(simulate(), "gradients", lambda rows: rows.index >= 0, parameter=lambda old: "net." + old)
    comparison = compare(simulate(), renamed)
    assert comparison.exit_code == EXIT.INCOMPLETE
    assert len(comparison.coverage.missing) >= 48


def test_a_column_without_numbers_is_missing(simulate: Simulate, edited: Edited) -> None:
    emptied = edited(simulate(), "cells", lambda rows: rows.index >= 0, accuracy=float("nan"))
    assert compare(simulate(), emptied).coverage.missing == ("accuracy of cells.csv",)
    older = replace(emptied, manifest=emptied.manifest | {"schema": 0})
    assert compare(simulate(), older).coverage.missing == ()


def test_what_a_status_explains_is_not_missing_once_more(simulate: Simulate, edited: Edited) -> None:
    failed = edited(simulate(), "cells", lambda rows: rows["cell"] == "cell-2-0", status="diverged")
    fewer = without(failed, "gradients", lambda rows: rows["cell"] == "cell-2-0")
    assert compare(simulate(), fewer).coverage.missing == ()


def test_a_base_without_gradients_is_refused(simulate: Simulate) -> None:
    base = without(simulate(), "gradients", lambda rows: rows["cell"] != "")
    with pytest.raises(UsageError, match=r"its gradients\.csv has no rows, though its cells have verdicts"):
        compare(base, simulate())


def test_what_was_not_told_apart_is_said_of_identical_runs(simulate: Simulate, edited: Edited) -> None:
    slower = edited(simulate(), "cells", lambda rows: rows["strategy"] == "reconstruct", step_seconds=1.0)
    from gradbench.compare.comparison import Rules

    told = compare(simulate(), slower, Rules(timings=True)).sentence
    assert told.startswith("Identical: every firm number is the same bit for bit in all 48 measurements that the base")
    assert "but step_seconds of reconstruct changed and has too few pairs for a test" in told


def test_means_leave_out_zeros_that_have_no_ratio(simulate: Simulate, edited: Edited, stored_on_disk: Any) -> None:
    zero = {"rel_error": 0.0}
    first = lambda rows: (rows["parameter"] == "block0.weight") & (rows["strategy"] == "approximate:4")  # noqa: E731
    base = edited(simulate(), "gradients", first, **zero)
    worse = edited(base, "gradients", lambda rows: rows["strategy"] == "approximate:4", rel_error=lambda old: 2 * old)
    comparison = compare(stored_on_disk(base, "a"), stored_on_disk(worse, "b"))
    (finding,) = (one for one in comparison.regressions if one.check == "rel_error")
    assert finding.base > 0
    assert finding.new == pytest.approx(2 * finding.base)
