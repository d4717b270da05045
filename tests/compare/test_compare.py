"""Planted changes are found, with the right exit code; what is not one is not."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gradbench.analysis.tables import Run
from gradbench.compare.compare import compare
from gradbench.compare.comparison import Comparison, Finding, Rules
from gradbench.errors import EXIT, UsageError

Simulate = Callable[..., Run]
Edited = Callable[..., Run]


def of(strategy: str) -> Any:
    """Rows of a strategy."""
    return lambda frame: frame["strategy"] == strategy


def found(comparison: Comparison, kind: str = "regression") -> list[tuple[str, str]]:
    return [(finding.check, finding.strategy) for finding in comparison.findings if finding.kind == kind]


def only(comparison: Comparison) -> Finding:
    assert len(comparison.findings) == 1, [finding.says for finding in comparison.findings]
    return comparison.findings[0]


def test_the_same_numbers_are_identical_and_nothing_is_tested(simulate: Simulate, stored_on_disk: Any) -> None:
    comparison = compare(stored_on_disk(simulate(), "a"), stored_on_disk(simulate(), "b"))
    assert comparison.identical
    assert comparison.exit_code == EXIT.OK
    assert comparison.sentence == (
        "Identical: every firm number is the same bit for bit in all 48 measurements that the base finished."
    )
    assert comparison.findings == ()
    assert set(comparison.tests["outcome"]) == {"identical", "no change"}
    assert comparison.tests["p"].isna().all()
    assert not comparison.differences


def test_one_bit_is_not_identical(simulate: Simulate, edited: Edited) -> None:
    one = edited(
        simulate(),
        "gradients",
        lambda frame: frame.index == 17,
        grad_norm=1.0,
    )
    base = edited(simulate(), "gradients", lambda frame: frame.index >= 0, grad_norm=1.0)
    other = edited(base, "gradients", lambda frame: frame.index == 17, grad_norm=np.nextafter(1.0, 2))
    assert compare(base, base).identical
    assert not compare(base, other).identical
    assert compare(simulate(), one).identical, "a column that one of them does not have is not compared"


def test_a_strategy_that_is_30_percent_worse_is_a_regression(
    simulate: Simulate, edited: Edited, stored_on_disk: Any
) -> None:
    worse = edited(simulate(), "gradients", of("approximate:4"), rel_error=lambda old: 1.3 * old)
    comparison = compare(stored_on_disk(simulate(), "a"), stored_on_disk(worse, "b"))
    assert comparison.exit_code == EXIT.FAILED
    finding = only(comparison)
    assert (finding.kind, finding.check, finding.strategy) == ("regression", "rel_error", "approximate:4")
    assert finding.setting == {}
    assert finding.pairs == 12
    assert finding.ratio == pytest.approx(1.3, rel=1e-5)
    assert finding.p == 2 / 2**12
    assert finding.new == pytest.approx(1.3 * finding.base)
    assert comparison.sentence == (
        f"1 regression: rel_error of approximate:4: 1.3 times, {finding.base:.4g} -> {finding.new:.4g}; "
        "found in all 48 measurements that the base finished."
    )


def test_the_same_backwards_is_an_improvement(simulate: Simulate, edited: Edited) -> None:
    worse = edited(simulate(), "gradients", of("approximate:4"), rel_error=lambda old: 1.3 * old)
    comparison = compare(worse, simulate())
    assert comparison.exit_code == EXIT.OK
    assert found(comparison, "improvement") == [("rel_error", "approximate:4")]
    assert only(comparison).ratio == pytest.approx(1 / 1.3, rel=1e-5)
    assert "1 improvement" in comparison.sentence


@pytest.mark.parametrize(("factor", "size", "is_found"), [(1.09, 0.1, False), (1.11, 0.1, True), (1.11, 0.2, False)])
def test_a_regression_needs_size(
    simulate: Simulate, edited: Edited, factor: float, size: float, is_found: bool
) -> None:
    worse = edited(simulate(), "gradients", of("approximate:4"), rel_error=lambda old: factor * old)
    comparison = compare(simulate(), worse, Rules(size=size))
    assert bool(comparison.regressions) == is_found
    family = comparison.tests[comparison.tests["adjusted"].notna() & (comparison.tests["level"] == "all")]
    assert family["adjusted"].iloc[0] < 0.001


def test_what_is_within_plain_autograds_own_error_is_no_regression(simulate: Simulate, edited: Edited) -> None:
    rows = of("reconstruct")
    still = edited(simulate(), "gradients", rows, rel_error=lambda old: 1.5 * old, excess=1.95)
    comparison = compare(simulate(), still)
    assert not comparison.findings
    tests = comparison.tests.query("check == 'rel_error' and strategy == 'reconstruct'")
    assert tests["outcome"].tolist() == ["within rounding"]
    beyond = edited(simulate(), "gradients", rows, rel_error=lambda old: 10 * old, excess=13.0)
    assert found(compare(simulate(), beyond)) == [("rel_error", "reconstruct")]


def test_an_error_below_storeds_own_repeat_error_is_no_regression(simulate: Simulate, edited: Edited) -> None:
    runs = []
    for factor in (1.0, 3.0):
        run = edited(simulate(), "gradients", of("approximate:4"), rel_error=lambda old, f=factor: f * old)
        runs.append(edited(run, "cells", lambda frame: frame.index >= 0, repeat_error=10.0))
    assert not compare(*runs).findings


def test_it_says_where_it_is_worst(simulate: Simulate, edited: Edited) -> None:
    def worst(frame: Any) -> Any:
        return of("approximate:4")(frame) & (frame["depth"] == 6) & (frame["parameter"] == "block3.weight")

    worse = edited(simulate(), "gradients", of("approximate:4"), rel_error=lambda old: 1.3 * old)
    worse = edited(worse, "gradients", worst, rel_error=lambda old: 5 * old)
    finding = only(compare(simulate(), worse))
    assert "the most at depth=6: 1.79 times, in block3.weight: 6.5 times" in finding.says
    assert finding.parameter == "block3.weight"


def test_what_is_worse_at_one_depth_only_is_found_there(simulate: Simulate, edited: Edited) -> None:
    def deep(frame: Any) -> Any:
        return of("approximate:4")(frame) & (frame["depth"] == 2)

    def pair(seeds: int) -> tuple[Run, Run]:
        base, new = (simulate(seeds=seeds, jitter=0.005, seed=seed) for seed in (0, 1))
        return base, edited(new, "gradients", deep, rel_error=lambda old: 1.2 * old)

    finding = only(compare(*pair(8)))
    assert (finding.kind, finding.setting, finding.pairs) == ("regression", {"depth": 2}, 8)
    assert finding.ratio == pytest.approx(1.2, rel=0.02)
    assert finding.low < 1.2 < finding.high
    assert finding.adjusted == pytest.approx(3 * 2 / 2**8, rel=0.1), "three depths are tested"


def test_changes_that_cancel_are_both_found(simulate: Simulate, edited: Edited) -> None:
    def depth(number: int) -> Any:
        return lambda frame: of("approximate:4")(frame) & (frame["depth"] == number)

    def pair(seeds: int) -> tuple[Run, Run]:
        base = simulate(depths=(2, 4), seeds=seeds)
        worse = edited(base, "gradients", depth(2), rel_error=lambda old: 1.3 * old)
        return base, edited(worse, "gradients", depth(4), rel_error=lambda old: old / 1.3)

    comparison = compare(*pair(8))
    assert [(one.kind, one.setting) for one in comparison.findings] == [
        ("regression", {"depth": 2}),
        ("improvement", {"depth": 4}),
    ]
    few = compare(*pair(4))
    assert few.exit_code == EXIT.OK
    assert "rel_error of approximate:4 changed and has too few pairs" in few.sentence
    assert [(one.kind, one.setting) for one in few.findings] == [("advisory", {"depth": 2})]


def test_one_tensor_that_is_worse_is_found_among_many(simulate: Simulate, edited: Edited) -> None:
    def one(frame: Any) -> Any:
        return of("approximate:4")(frame) & (frame["parameter"] == "block3.weight")

    base = simulate()
    worse = edited(base, "gradients", one, rel_error=lambda old: 1.5 * old)
    finding = only(compare(base, worse))
    assert (finding.kind, finding.parameter, finding.setting) == ("regression", "block3.weight", {})
    assert finding.ratio == pytest.approx(1.5)
    assert finding.says.startswith("rel_error of approximate:4: in block3.weight 1.5 times, 0.6")
    assert finding.says.endswith("(adjusted p 0.00049, 12 pairs)")
    assert found(compare(worse, base), "improvement") == [("rel_error", "approximate:4")]
    better = edited(base, "gradients", of("approximate:4"), rel_error=lambda old: 0.7 * old)
    but_one = edited(better, "gradients", one, rel_error=lambda old: 3 * old)
    assert [(finding.kind, finding.parameter) for finding in compare(base, but_one).findings] == [
        ("regression", "block3.weight"),
        ("improvement", "block0.weight"),
    ]
    slightly = edited(base, "gradients", one, rel_error=lambda old: 1.15 * old)
    assert not compare(base, slightly).findings


def test_one_tensor_that_not_every_depth_has(simulate: Simulate, edited: Edited) -> None:
    def block3(frame: Any) -> Any:
        return of("approximate:4")(frame) & (frame["parameter"] == "block3.weight")

    base = edited(simulate(), "gradients", lambda frame: block3(frame) & (frame["depth"] == 2), kind="bias")
    worse = edited(base, "gradients", block3, rel_error=lambda old: 2 * old)
    finding = only(compare(base, worse))
    assert (finding.kind, finding.parameter, finding.setting, finding.pairs) == ("regression", "block3.weight", {}, 8)
    assert finding.ratio == pytest.approx(2)


def test_one_tensor_at_one_depth(simulate: Simulate, edited: Edited) -> None:
    def one(frame: Any) -> Any:
        return of("approximate:4")(frame) & (frame["parameter"] == "block3.weight") & (frame["depth"] == 6)

    base, new = (simulate(seeds=10, jitter=0.01, seed=seed) for seed in (0, 1))
    finding = only(compare(base, edited(new, "gradients", one, rel_error=lambda old: 1.4 * old)))
    assert (finding.kind, finding.setting, finding.parameter) == ("regression", {"depth": 6}, "block3.weight")
    assert finding.ratio == pytest.approx(1.4, rel=0.02)


def test_what_only_one_depth_has_too_few_seeds_for_is_said(simulate: Simulate, edited: Edited) -> None:
    def depth(number: int) -> Any:
        return lambda frame: of("approximate:4")(frame) & (frame["depth"] == number)

    base = simulate(seeds=6)
    worse = edited(base, "gradients", depth(2), rel_error=lambda old: 1.2 * old)
    assert only(compare(base, worse)).setting == {"depth": 2}, "nothing else changed, so that nothing else is tested"
    for seed in range(6):
        some = lambda frame, seed=seed: depth(4)(frame) & (frame["seed"] == seed)  # noqa: E731
        worse = edited(worse, "gradients", some, rel_error=lambda old, sign=(-1) ** seed: (1 + sign * 1e-3) * old)
    comparison = compare(base, worse)
    assert "rel_error of approximate:4 changed and has too few pairs" in comparison.sentence
    assert only(comparison).kind == "advisory"
    assert only(comparison).says.endswith("too few pairs for a test, 7 would do, with 7 seeds")


def test_a_strategy_that_stops_repeating_itself_is_a_regression(simulate: Simulate, edited: Edited) -> None:
    random = edited(simulate(), "cells", of("checkpoint"), repeat_error=1e-3)
    comparison = compare(simulate(), random)
    assert comparison.exit_code == EXIT.FAILED
    assert found(comparison) == [("repeatability", "checkpoint")]
    assert "repeat_error 0.001, was 0" in comparison.sentence


def test_where_stored_training_stops_repeating_itself_too_it_is_told_only(simulate: Simulate, edited: Edited) -> None:
    random = edited(simulate(), "cells", lambda frame: frame["depth"] > 0, repeat_error=1e-3)
    comparison = compare(simulate(), random)
    assert comparison.exit_code == EXIT.OK
    assert {check for check, _ in found(comparison, "advisory")} == {"repeatability"}
    assert not compare(random, random).findings


def test_a_run_without_repeat_error_is_not_judged_by_it(simulate: Simulate, edited: Edited) -> None:
    older = edited(simulate(), "cells", lambda frame: frame["depth"] > 0, repeat_error=math.nan)
    comparison = compare(older, simulate())
    assert comparison.identical
    assert "repeatability" not in set(comparison.tests["check"])


def test_a_new_fault_in_what_a_step_leaves_behind_is_a_regression(simulate: Simulate, edited: Edited) -> None:
    def masks(frame: pd.DataFrame) -> pd.Series:
        return of("checkpoint")(frame) & (frame["depth"] == 4) & (frame["check"] == "masks")

    one = edited(simulate(), "state", masks, outcome="fault", says="dropout draws another mask", amount=1.0)
    comparison = compare(simulate(), one)
    assert comparison.exit_code == EXIT.FAILED
    finding = only(comparison)
    assert (finding.kind, finding.check, finding.base, finding.new) == ("regression", "faults", "none", "masks")
    says = "faults of checkpoint at depth=4: masks, was none, in seed 0 (dropout draws another mask)"
    assert finding.says == says
    assert only(compare(one, simulate())).kind == "improvement"
    assert compare(one, one).identical


def test_a_changed_running_statistic_is_a_regression(simulate: Simulate, edited: Edited) -> None:
    one = edited(
        simulate(),
        "cells",
        lambda frame: of("checkpoint")(frame) & (frame["depth"] == 4) & (frame["seed"] == 1),
        changed_buffers=3,
    )
    comparison = compare(simulate(), one)
    assert comparison.exit_code == EXIT.FAILED
    finding = only(comparison)
    assert (finding.check, finding.base, finding.new) == ("changed buffers", 0, 3)
    assert finding.setting == {"depth": 4}
    assert finding.says == "changed buffers of checkpoint at depth=4: 3, was 0, in 1 of 4 seeds"


def test_of_several_settings_the_worst_is_told(simulate: Simulate, edited: Edited) -> None:
    def depth(number: int) -> Any:
        return lambda frame: of("checkpoint")(frame) & (frame["depth"] == number)

    two = edited(edited(simulate(), "cells", depth(2), changed_buffers=3), "cells", depth(6), changed_buffers=7)
    finding = only(compare(simulate(), two))
    assert finding.says == (
        "changed buffers of checkpoint at 2 of 3 settings, the most at depth=6: 7, was 0, in 4 of 4 seeds"
    )
    assert (finding.setting, finding.new, finding.pairs) == ({}, 7, 8)


def test_missing_gradients_are_a_regression(simulate: Simulate, edited: Edited) -> None:
    lost = edited(simulate(), "cells", of("checkpoint"), missing_gradients=2, verdict="broken")
    comparison = compare(simulate(), lost)
    assert found(comparison) == [("missing gradients", "checkpoint"), ("verdict", "checkpoint")]
    assert "at every setting" in comparison.findings[0].says
    assert found(compare(lost, simulate()), "improvement") == found(comparison)


@pytest.mark.parametrize("status", ["diverged", "oom", "timeout", "error", "excluded"])
def test_a_worse_status_is_a_regression(simulate: Simulate, edited: Edited, status: str) -> None:
    def one(frame: Any) -> Any:
        return of("checkpoint")(frame) & (frame["depth"] == 4) & (frame["seed"] == 1)

    numbers = dict.fromkeys(("accuracy", "loss", "rel_error"), math.nan)
    failed = edited(simulate(), "cells", one, status=status, reason="planted", verdict="", **numbers)
    comparison = compare(simulate(), failed)
    assert comparison.exit_code == EXIT.FAILED
    assert found(comparison) == [("status", "checkpoint")]
    assert f"{status}, was ok, in 1 of 4 seeds" in comparison.sentence
    assert comparison.findings[0].says.endswith("in 1 of 4 seeds (planted)")
    assert comparison.coverage.compared == (48 if status in ("diverged", "excluded") else 47)
    assert found(compare(failed, simulate()), "improvement") == [("status", "checkpoint")]


def test_one_more_diverged_seed_where_one_had_before_is_told_only(simulate: Simulate, edited: Edited) -> None:
    def seeds(count: int) -> Run:
        def rows(frame: Any) -> Any:
            return of("checkpoint")(frame) & (frame["depth"] == 4) & (frame["seed"] < count)

        return edited(simulate(), "cells", rows, status="diverged")

    assert found(compare(seeds(1), seeds(2)), "advisory") == [("status", "checkpoint")]
    assert found(compare(seeds(1), seeds(4))) == [("status", "checkpoint")]


def test_a_claim_that_is_no_longer_held(simulate: Simulate, edited: Edited) -> None:
    def everything(frame: Any) -> Any:
        return frame["claim"] == "right"

    broken = edited(simulate(), "claims", everything, status="not held", value=1.2, low=1.1, high=1.3)
    comparison = compare(simulate(), broken)
    assert comparison.exit_code == EXIT.FAILED
    assert only(comparison).says == "claim right is not held, was held: 1.2, was 0.5, test < 1"
    assert found(compare(broken, simulate()), "improvement") == [("claim", "")]
    near = edited(simulate(), "claims", everything, value=0.99, low=0.9, high=1.1)
    over = edited(near, "claims", everything, status="not held", value=1.01)
    assert found(compare(near, over), "advisory") == [("claim", "")]
    doubtful = compare(simulate(), edited(simulate(), "claims", everything, status="undecided", value=0.9))
    assert (doubtful.exit_code, doubtful.coverage.missing) == (EXIT.OK, ())
    assert only(doubtful).says == "claim right is undecided, was held: 0.9, was 0.5, test < 1"
    assert found(doubtful, "advisory") == [("claim", "")]
    unmeasured = edited(simulate(), "claims", everything, status="not measured", value=math.nan)
    comparison = compare(simulate(), unmeasured)
    assert comparison.exit_code == EXIT.INCOMPLETE
    assert comparison.coverage.missing == ("claim right",)
    stricter = edited(broken, "claims", everything, test="< 0.1")
    comparison = compare(simulate(), stricter)
    assert comparison.exit_code == EXIT.OK
    assert [(one.name, one.base, one.new) for one in comparison.differences] == [("claim right", "< 1", "< 0.1")]


def test_missing_cells(simulate: Simulate, edited: Edited) -> None:
    half = replace(
        simulate(), tables={name: t[t["seed"] < 2] if "seed" in t else t for name, t in simulate().tables.items()}
    )
    comparison = compare(simulate(), half)
    assert comparison.exit_code == EXIT.INCOMPLETE
    assert comparison.coverage.compared == 24
    assert len(comparison.coverage.missing) == 24
    assert "depth=2 seed=2 stored" in comparison.coverage.missing
    assert "in the 24 of 48 measurements that both finished" in comparison.sentence
    assert "24 that the base has are missing" in comparison.sentence
    interrupted = edited(simulate(), "cells", lambda frame: frame["seed"] >= 2, status="missing", verdict="")
    assert compare(simulate(), interrupted).coverage == comparison.coverage
    assert compare(half, simulate()).exit_code == EXIT.OK
    assert compare(half, simulate()).coverage.added == 24


def test_a_regression_weighs_more_than_missing_cells(simulate: Simulate, edited: Edited) -> None:
    run = edited(simulate(), "cells", lambda frame: frame["seed"] == 3, status="missing")
    assert compare(simulate(), edited(run, "cells", of("checkpoint"), changed_buffers=1)).exit_code == EXIT.FAILED


def test_nothing_in_common_is_never_no_regression(simulate: Simulate) -> None:
    comparison = compare(simulate(depths=(2, 4)), simulate(depths=(6, 8)))
    assert comparison.exit_code == EXIT.INCOMPLETE
    assert comparison.sentence == "Nothing was compared: 32 that the base has are missing."
    assert not comparison.identical


def test_runs_of_different_cases_are_not_compared(simulate: Simulate, with_manifest: Any) -> None:
    with pytest.raises(UsageError, match="compare runs of one case"):
        compare(simulate(), with_manifest(simulate(), case="another"))


def test_too_few_pairs_are_said(simulate: Simulate, edited: Edited) -> None:
    base = simulate(depths=(2,), seeds=3)
    worse = edited(base, "gradients", of("approximate:4"), rel_error=lambda old: 1.3 * old)
    comparison = compare(base, worse)
    assert comparison.exit_code == EXIT.OK
    assert (
        "rel_error of approximate:4 changed and has too few pairs for a test (6 seeds would do)" in comparison.sentence
    )
    assert not comparison.sentence.startswith("No regression in")
    finding = only(comparison)
    assert finding.kind == "advisory"
    assert finding.says.endswith("too few pairs for a test, 6 would do, with 6 seeds")
    enough = simulate(depths=(2,), seeds=6)
    worse = edited(enough, "gradients", of("approximate:4"), rel_error=lambda old: 1.3 * old)
    assert found(compare(enough, worse)) == [("rel_error", "approximate:4")]


@pytest.mark.parametrize(("factor", "kind"), [(3.0, "regression"), (1 / 3, "improvement"), (1.9, ""), (0.6, "")])
def test_stored_training_farther_from_float64(simulate: Simulate, edited: Edited, factor: float, kind: str) -> None:
    other = edited(simulate(), "gradients", of("stored"), rel_error_truth=lambda old: factor * old)
    comparison = compare(simulate(), other)
    assert [(one.kind, one.check, one.strategy) for one in comparison.findings] == (
        [(kind, "rel_error_truth", "stored")] if kind else []
    )
    assert not comparison.identical


@pytest.mark.parametrize("factor", [1.5, 1 / 1.5, 1.05])
def test_other_gradients_of_stored_training_are_told(simulate: Simulate, edited: Edited, factor: float) -> None:
    base = edited(simulate(), "gradients", lambda frame: frame["depth"] > 0, grad_norm=0.2)
    comparison = compare(base, edited(base, "gradients", lambda frame: frame["depth"] > 0, grad_norm=0.2 * factor))
    assert comparison.exit_code == EXIT.OK
    assert found(comparison, "advisory") == ([] if factor == 1.05 else [("grad_norm", "stored")])
    for finding in comparison.findings:
        assert finding.ratio == pytest.approx(factor)
        assert finding.says.startswith(f"grad_norm of stored: {factor:.3g} times, 0.2 -> {0.2 * factor:.4g} (95 %")


def test_memory_needs_no_test(simulate: Simulate, edited: Edited) -> None:
    def one(frame: Any) -> Any:
        return of("checkpoint")(frame) & (frame["depth"] == 4)

    more = edited(simulate(), "cells", one, peak_bytes=lambda old: 1.2 * old)
    finding = only(compare(simulate(), more))
    assert (finding.kind, finding.check, finding.setting) == ("regression", "peak_bytes", {"depth": 4})
    assert finding.ratio == pytest.approx(1.2)
    assert math.isnan(finding.p)
    assert not compare(simulate(), edited(simulate(), "cells", one, peak_bytes=lambda old: 1.05 * old)).findings
    leak = edited(simulate(), "cells", lambda frame: one(frame) & (frame["seed"] == 0), left_bytes=4096.0)
    assert found(compare(simulate(), leak)) == [("left_bytes", "checkpoint")]


@pytest.mark.parametrize(
    ("device", "asked", "kind"),
    [
        ("cuda", {"train": {"cudnn_benchmark": True}}, "advisory"),
        ("cuda:1", {"override": [{"when": {"depth": 4}, "set": {"train.cudnn_benchmark": True}}]}, "advisory"),
        ("cuda", {"matrix": {"cudnn_benchmark": [False, True]}}, "advisory"),
        ("cuda", {"train": {"cudnn_benchmark": False}}, "regression"),
        ("cpu", {"train": {"cudnn_benchmark": True}}, "regression"),
    ],
)
def test_a_peak_that_rests_on_a_search_is_told(
    simulate: Simulate, edited: Edited, with_manifest: Any, device: str, asked: Any, kind: str
) -> None:
    base = simulate()
    entries = {
        "environment": {**base.manifest["environment"], "device": device},
        "settings": {**base.manifest["settings"], **asked},
    }
    base = with_manifest(base, **entries)
    more = edited(base, "cells", of("checkpoint"), peak_bytes=lambda old: 1.2 * old)
    for rules in (Rules(), Rules(timings=True)):
        findings = compare(base, more, rules).findings
        assert {(finding.kind, finding.check) for finding in findings} == {(kind, "peak_bytes")}
    leak = edited(base, "cells", of("checkpoint"), left_bytes=4096.0)
    assert {finding.kind for finding in compare(base, leak).findings} == {"regression"}


def test_times_are_told_and_judged_only_if_asked(simulate: Simulate, edited: Edited) -> None:
    depths = tuple(range(2, 12))
    base = simulate(depths=depths)
    slower = edited(base, "cells", of("checkpoint"), step_seconds=lambda old: 2 * old)
    comparison = compare(base, slower)
    assert comparison.identical
    assert comparison.exit_code == EXIT.OK
    assert found(comparison, "advisory") == [("step_seconds", "checkpoint")]
    assert compare(base, slower, Rules(timings=True)).exit_code == EXIT.FAILED
    assert not compare(slower, base).findings
    assert found(compare(slower, base, Rules(timings=True)), "improvement") == [("step_seconds", "checkpoint")]


def test_accuracy_loss_and_snr_are_compared_by_differences(simulate: Simulate, edited: Edited) -> None:
    worse = edited(
        simulate(), "cells", of("approximate:4"), accuracy=lambda old: old - 0.05, loss=lambda old: old + 0.1
    )
    worse = edited(worse, "cells", of("reconstruct"), verdict="below-noise")
    base = edited(simulate(), "cells", of("reconstruct"), verdict="below-noise")
    worse = edited(worse, "activations", of("reconstruct"), snr_db=lambda old: old - 6.0)
    comparison = compare(base, worse)
    says = {finding.check: finding.says for finding in comparison.regressions}
    assert set(says) == {"accuracy", "loss", "snr_db"}
    assert "accuracy of approximate:4: -0.05, " in says["accuracy"]
    assert "loss of approximate:4: +0.1, " in says["loss"]
    assert "snr_db of reconstruct: -6 dB, 80 -> 74 dB" in says["snr_db"]
    ratios = {finding.check: finding.ratio for finding in comparison.regressions}
    assert ratios["snr_db"] == pytest.approx(10 ** (-6 / 20))
    base_accuracy = base.tables["cells"].query("strategy == 'approximate:4'")["accuracy"].mean()
    assert ratios["accuracy"] == pytest.approx(1 - 0.05 / base_accuracy)


def test_an_accuracy_counts_by_the_smaller_of_right_and_wrong(simulate: Simulate, edited: Edited) -> None:
    good = edited(simulate(), "cells", of("checkpoint"), accuracy=0.99)
    assert found(compare(good, edited(good, "cells", of("checkpoint"), accuracy=0.985))) == [("accuracy", "checkpoint")]
    assert not compare(good, edited(good, "cells", of("checkpoint"), accuracy=0.9895)).findings


def test_numbers_that_stop_being_finite_are_the_worst(simulate: Simulate, edited: Edited) -> None:
    for lost in (math.nan, math.inf):
        broken = edited(simulate(), "gradients", of("approximate:4"), rel_error=lost)
        finding = only(compare(simulate(), broken))
        assert (finding.check, finding.kind) == ("rel_error", "regression")
        assert finding.ratio == pytest.approx(1e6)
        assert not compare(broken, broken).findings
        assert found(compare(broken, simulate()), "improvement") == [("rel_error", "approximate:4")]
    exact = edited(simulate(), "gradients", of("checkpoint"), rel_error=1e-3, excess=3e3)
    assert found(compare(simulate(), exact)) == [("rel_error", "checkpoint")]


def test_infinite_snr_is_a_number(simulate: Simulate, edited: Edited) -> None:
    def harmed(run: Run) -> Run:
        return edited(run, "cells", of("reconstruct"), verdict="below-noise")

    perfect = harmed(edited(simulate(), "activations", of("reconstruct"), snr_db=math.inf))
    assert compare(perfect, perfect).identical
    assert found(compare(perfect, harmed(simulate()))) == [("snr_db", "reconstruct")]
    lost = harmed(edited(simulate(), "activations", of("reconstruct"), snr_db=-math.inf))
    assert found(compare(harmed(simulate()), lost)) == [("snr_db", "reconstruct")]


def test_the_environment_leaves_the_gates(simulate: Simulate, edited: Edited, with_manifest: Any) -> None:
    newer = {"device": "cpu", "device_name": "a test", "torch": "2.14.0", "numpy": "2.4.6"}
    worse = edited(simulate(), "gradients", of("approximate:4"), rel_error=lambda old: 1.3 * old)
    comparison = compare(simulate(), with_manifest(worse, environment=newer))
    assert not comparison.same_environment
    assert not comparison.findings
    assert set(comparison.tests["kind"]) == {"gate"}
    assert comparison.sentence == (
        "No regression by the gates in all 48 measurements that the base finished; the environments differ "
        "(torch 2.13.0 -> 2.14.0), so numbers were not compared pair by pair."
    )
    broken = edited(worse, "cells", of("checkpoint"), changed_buffers=1)
    assert compare(simulate(), with_manifest(broken, environment=newer)).exit_code == EXIT.FAILED


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_a_variable_of_the_allocator_is_another_environment_on_a_gpu(
    simulate: Simulate, edited: Edited, with_manifest: Any, device: str
) -> None:
    base = simulate()
    here = {**base.manifest["environment"], "device": device, "variables": {}}
    there = {**here, "variables": {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}}
    more = edited(base, "cells", of("checkpoint"), peak_bytes=lambda old: 1.2 * old)
    comparison = compare(with_manifest(base, environment=here), with_manifest(more, environment=there))
    assert comparison.same_environment == (device == "cpu")
    named = [(one.name, one.base, one.new) for one in comparison.differences]
    assert named == ([("PYTORCH_CUDA_ALLOC_CONF", "absent", "expandable_segments:True")] if device == "cuda" else [])
    assert bool(comparison.findings) == (device == "cpu")


@pytest.mark.parametrize(
    ("limit", "decides"),
    [
        ({"train": {"memory_limit": 1000}}, True),
        ({"override": [{"when": {"depth": 4}, "set": {"train.memory_limit": 1000}}]}, True),
        ({"matrix": {"memory_limit": [1000, 2000]}}, True),
        ({"train": {"memory_limit": None}}, False),
    ],
)
def test_measuring_memory_decides_what_fits(simulate: Simulate, with_manifest: Any, limit: Any, decides: bool) -> None:
    base = simulate()
    settings = {**base.manifest["settings"], **limit}
    without = {**settings, "measure": {**settings["measure"], "cost": False}}
    comparison = compare(with_manifest(base, settings=settings), with_manifest(base, settings=without))
    assert [one.name for one in comparison.differences] == (["measure.cost"] if decides else [])


def test_another_commit_is_what_is_judged(simulate: Simulate, with_manifest: Any) -> None:
    comparison = compare(simulate(), with_manifest(simulate(), git={"commit": "fedcba98765432100000", "dirty": True}))
    assert comparison.same_environment
    assert comparison.identical
    assert [(one.name, one.base, one.new) for one in comparison.differences] == [
        ("commit", "0123456789ab", "fedcba987654 with changes")
    ]


def test_cells_with_another_id_are_compared_if_nothing_that_decides_differs(
    simulate: Simulate, with_manifest: Any
) -> None:
    other = simulate()
    renamed = replace(
        other,
        tables={
            name: frame.assign(cell="x" + frame["cell"]) if "cell" in frame else frame
            for name, frame in other.tables.items()
        },
    )
    case = other.manifest["settings"]
    more = {**case, "measure": {**case["measure"], "strategies": ["checkpoint", "reconstruct", "approximate:4"]}}
    comparison = compare(simulate(), with_manifest(renamed, settings=more))
    assert comparison.identical
    assert comparison.coverage.compared == 48
    longer = {**case, "train": {"steps": 30}}
    comparison = compare(simulate(), with_manifest(renamed, settings=longer))
    assert comparison.coverage.compared == 0
    assert [(one.name, one.base, one.new) for one in comparison.differences] == [("train.steps", "20", "30")]
    width = {**case, "override": [{"when": {"depth": 2}, "set": {"model": {"width": 8}}}]}
    assert compare(simulate(), with_manifest(renamed, settings=width)).coverage.compared == 0
    fewer = {**case, "override": [{"when": {"depth": 2}, "set": {"measure": {"strategies": ["checkpoint"]}}}]}
    assert compare(simulate(), with_manifest(renamed, settings=fewer)).coverage.compared == 48
