"""Claims against plain loops over the rows, on fresh random numbers."""

from __future__ import annotations

import itertools
import math
import statistics
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gradbench.analysis.claims import HELD, NOT_HELD, NOT_MEASURED, UNDECIDED, evaluate
from gradbench.case.schema import Claim

AXES = ("model", "depth", "slope")


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng()
    cells, layers = [], []
    for model, depth, slope, seed in itertools.product(("a", "b"), (2, 4, 8), (0.2, 0.4), range(5)):
        lead = {"cell": f"{model}-{depth}-{slope}-{seed}", "model": model, "depth": depth, "slope": slope, "seed": seed}
        for strategy in ("stored", "approximate:4"):
            accuracy = rng.uniform()
            cells.append(lead | {"strategy": strategy, "status": "ok", "accuracy": accuracy, "verdict": "exact"})
        for _ in range(4):
            verdict = str(rng.choice(["exact", "harmful", "broken"]))
            layers.append(
                lead | {"strategy": "approximate:4", "step": 0, "rel_error": rng.normal(), "verdict": verdict}
            )
    return {"cells": pd.DataFrame(cells), "gradients": pd.DataFrame(layers)}


def decide(tables: dict[str, pd.DataFrame], value: dict[str, Any], test: str = "> 0", **more: Any) -> dict[str, Any]:
    claim = Claim.model_validate({"name": "one", "says": "something", "value": value, "test": test, **more})
    (row,) = evaluate(tables, [claim], AXES)
    return row


def rows_of(frame: pd.DataFrame, **where: Any) -> list[dict[str, Any]]:
    return [row for row in frame.to_dict("records") if all(row[key] == value for key, value in where.items())]


def test_within_cells_then_across_them_then_median_over_seeds(tables: dict[str, pd.DataFrame]) -> None:
    where = {"model": "a", "slope": 0.4}
    row = decide(
        tables,
        {"table": "gradients", "column": "rel_error", "where": where, "within": "max", "across": "mean"},
    )
    seeds = []
    for seed in range(5):
        worst: dict[str, float] = {}
        for line in rows_of(tables["gradients"], seed=seed, **where):
            worst[line["cell"]] = max(worst.get(line["cell"], -math.inf), line["rel_error"])
        seeds.append(statistics.mean(worst.values()))
    assert row["value"] == pytest.approx(statistics.median(seeds))
    assert row["seeds"] == 5
    assert min(seeds) - 1e-12 <= row["low"] <= row["value"] <= row["high"] <= max(seeds) + 1e-12
    clear = {end > 0 for end in (row["low"], row["high"])}
    assert row["status"] == (UNDECIDED if len(clear) > 1 else HELD if clear.pop() else NOT_HELD)


@pytest.mark.parametrize(("key", "combine"), [("minus", lambda a, b: a - b), ("divided_by", lambda a, b: a / b)])
def test_two_quantities_are_paired_by_seed(tables: dict[str, pd.DataFrame], key: str, combine: Any) -> None:
    one = {"table": "cells", "column": "accuracy", "where": {"model": "a", "depth": 2, "slope": 0.2}}
    ours, theirs = one["where"] | {"strategy": "approximate:4"}, one["where"] | {"strategy": "stored"}
    row = decide(tables, one | {"where": ours}, "<= 0", **{key: one | {"where": theirs}})
    pairs = [
        combine(
            rows_of(tables["cells"], seed=s, **ours)[0]["accuracy"],
            rows_of(tables["cells"], seed=s, **theirs)[0]["accuracy"],
        )
        for s in range(5)
    ]
    assert row["value"] == pytest.approx(statistics.median(pairs))


@pytest.mark.parametrize(("across", "reduce"), [("max", max), ("min", min), ("mean", statistics.mean)])
@pytest.mark.parametrize(("key", "combine"), [("minus", lambda a, b: a - b), ("divided_by", lambda a, b: a / b)])
def test_two_quantities_are_paired_by_cell(
    tables: dict[str, pd.DataFrame], key: str, combine: Any, across: str, reduce: Any
) -> None:
    one = {"table": "cells", "column": "accuracy"}
    common = {"slope": 0.2, "depth": [2, 8]}
    ours, theirs = {"strategy": "stored", "model": "a"}, {"strategy": "approximate:4", "model": "b"}
    row = decide(tables, one | {"where": common | ours}, across=across, **{key: one | {"where": common | theirs}})
    seeds = []
    for seed in range(5):
        pairs = []
        for depth in (2, 8):
            sides = [rows_of(tables["cells"], seed=seed, depth=depth, slope=0.2, **side) for side in (ours, theirs)]
            pairs.append(combine(sides[0][0]["accuracy"], sides[1][0]["accuracy"]))
        seeds.append(reduce(pairs))
    assert row["value"] == pytest.approx(statistics.median(seeds))


def test_pairs_by_cell_say_where_the_largest_is(tables: dict[str, pd.DataFrame]) -> None:
    cells = tables["cells"]
    cells["accuracy"] = np.where(cells["strategy"] == "stored", 0.9, 0.9 - 0.01 * cells["depth"] * cells["slope"])
    one = {"table": "cells", "column": "accuracy"}
    quantities = {name: one | {"where": {"strategy": name}} for name in ("stored", "approximate:4")}
    row = decide(tables, quantities["stored"], "< 0.01", minus=quantities["approximate:4"], across="max")
    assert row["status"] == NOT_HELD
    assert row["value"] == pytest.approx(0.032)
    assert row["reason"] == "largest at a, depth 8, slope 0.4 or b, depth 8, slope 0.4"
    cells["accuracy"] = 0.9
    row = decide(tables, quantities["stored"], "< 0.01", minus=quantities["approximate:4"], across="max")
    assert (row["status"], row["reason"]) == (HELD, "")
    cells["accuracy"] = np.where(cells["strategy"] == "stored", 0.9, 0.9 - 0.01 * cells["depth"] * cells["slope"])
    lows = [quantity | {"across": "min"} for quantity in quantities.values()]
    assert decide(tables, lows[0], "< 0.01", minus=lows[1])["value"] == pytest.approx(0.032)
    cells.loc[(cells["depth"] == 8) & (cells["strategy"] == "stored"), "accuracy"] += 0.08
    row = decide(tables, quantities["stored"], "< 0.01", minus=quantities["approximate:4"], across="max")
    assert row["value"] == pytest.approx(0.112)
    assert decide(tables, lows[0], "< 0.01", minus=lows[1])["value"] == pytest.approx(0.032)


@pytest.mark.parametrize("status", ["oom", "missing", "diverged"])
def test_pairs_by_cell_withhold_a_seed_that_lost_one(tables: dict[str, pd.DataFrame], status: str) -> None:
    cells = tables["cells"]
    lost = (cells["cell"] == "a-4-0.2-3") & (cells["strategy"] == "stored")
    cells.loc[lost, ["status", "accuracy"]] = [status, math.nan]
    one = {"table": "cells", "column": "accuracy"}
    sides = [one | {"where": {"strategy": name, "model": "a"}} for name in ("stored", "approximate:4")]
    row = decide(tables, sides[0], "> -9", minus=sides[1], across="min")
    assert (row["status"], row["seeds"]) == (HELD, 4)
    assert row["reason"].startswith("1 of 5 seeds have no number (cells without one: 1)")
    cells.loc[cells["cell"] == "a-4-0.2-3", ["status", "accuracy"]] = [status, math.nan]
    row = decide(tables, sides[0], "> -9", minus=sides[1], across="min")
    assert (row["status"], row["seeds"]) == (HELD, 4)  # and not of the settings that are left


def test_pairs_by_cell_say_where_the_smallest_is(tables: dict[str, pd.DataFrame]) -> None:
    cells = tables["cells"]
    cells["accuracy"] = np.where(cells["strategy"] == "stored", 0.9, 0.9 - 0.01 * cells["depth"] * cells["slope"])
    one = {"table": "cells", "column": "accuracy"}
    sides = [one | {"where": {"strategy": name, "model": "a"}} for name in ("stored", "approximate:4")]
    row = decide(tables, sides[0], ">= 0", minus=sides[1], across="min")
    assert row["reason"] == "smallest at depth 2, slope 0.2"  # model is the same at all of them


def test_the_order_of_values_does_not_part_cells(tables: dict[str, pd.DataFrame]) -> None:
    one = {"table": "cells", "column": "accuracy"}
    rows = [
        decide(
            tables,
            one | {"where": {"strategy": "stored", "depth": [2, 4]}},
            minus=one | {"where": {"strategy": "approximate:4", "depth": depths}},
            across="max",
        )
        for depths in ([2, 4], [4, 2], [4, 2, 4])
    ]
    assert rows[0] == rows[1] == rows[2]
    assert rows[0]["seeds"] == 5


def test_where_nothing_has_a_counterpart_that_is_said(tables: dict[str, pd.DataFrame]) -> None:
    cells = tables["cells"]
    kept = (cells["strategy"] == "stored") == (cells["depth"] == 2)
    one = {"table": "cells", "column": "accuracy"}
    sides = [one | {"where": {"strategy": name, "model": "a"}} for name in ("stored", "approximate:4")]
    row = decide(tables | {"cells": cells[kept]}, sides[0], minus=sides[1], across="max")
    assert row["status"] == NOT_MEASURED
    assert row["reason"].startswith("5 of 5 seeds have no number; cells without a counterpart: ")


def test_a_cell_without_a_counterpart_leaves_its_seed_without_a_number(tables: dict[str, pd.DataFrame]) -> None:
    cells = tables["cells"]
    gone = (cells["cell"] == "b-2-0.4-1") & (cells["strategy"] == "stored")
    one = {"table": "cells", "column": "accuracy"}
    sides = [one | {"where": {"strategy": name}} for name in ("stored", "approximate:4")]
    row = decide(tables | {"cells": cells[~gone]}, sides[0], "> -9", minus=sides[1], across="mean")
    assert (row["status"], row["seeds"]) == (HELD, 4)
    assert row["reason"] == "1 of 5 seeds have no number; cells without a counterpart: 1"


def test_a_cell_with_two_counterparts_is_not_paired(tables: dict[str, pd.DataFrame]) -> None:
    one = {"table": "cells", "column": "accuracy"}
    value, minus = one | {"where": {"depth": [2, 4]}}, one | {"where": {"depth": [4, 8]}}
    row = decide(tables, value, minus=minus, across="max")
    assert row["status"] == NOT_MEASURED
    assert row["reason"] == "two cells of a seed are alike in model, slope: no pairs"


def test_slope_is_fitted_within_each_seed(tables: dict[str, pd.DataFrame]) -> None:
    where = {"model": "b", "strategy": "stored", "slope": 0.2}
    row = decide(tables, {"table": "cells", "column": "accuracy", "where": where, "slope_over": "depth"})
    slopes = []
    for seed in range(5):
        lines = rows_of(tables["cells"], seed=seed, **where)
        slopes.append(np.polyfit([line["depth"] for line in lines], [line["accuracy"] for line in lines], 1)[0])
    assert row["value"] == pytest.approx(statistics.median(slopes))


def test_share_counts_the_words(tables: dict[str, pd.DataFrame]) -> None:
    value = {"table": "gradients", "column": "verdict", "within": "share", "equals": ["harmful", "broken"]}
    row = decide(tables, value | {"across": "min"}, ">= 0")
    shares: dict[int, float] = {}
    for _, lines in tables["gradients"].groupby("cell"):
        share = sum(verdict != "exact" for verdict in lines["verdict"]) / len(lines)
        seed = int(lines["seed"].iloc[0])
        shares[seed] = min(shares.get(seed, 1.0), share)
    assert row["value"] == pytest.approx(statistics.median(shares.values()))


@pytest.mark.parametrize(("depth", "slope"), [(4, 0.2), ("4", "0.2"), (4.0, 0.2), ([4, 99], [0.2]), (["4.0"], "0.20")])
def test_numbers_match_however_they_are_written(tables: dict[str, pd.DataFrame], depth: Any, slope: Any) -> None:
    plain = {"table": "cells", "column": "accuracy", "where": {"depth": 4, "slope": 0.2}}
    frames = {name: frame.assign(depth=frame["depth"].astype(str)) for name, frame in tables.items()}
    expected = decide(tables, plain)["value"]
    # A case file may only hold some of these; `where` is taken as it comes.
    claim = Claim.model_validate({"name": "one", "says": "", "value": plain, "test": "> 0"})
    value = claim.value.model_copy(update={"where": {"depth": depth, "slope": slope}})
    for given in (tables, frames):
        (row,) = evaluate(given, [claim.model_copy(update={"value": value})], AXES)
        assert row["value"] == expected


def test_infinite_values_are_results(tables: dict[str, pd.DataFrame]) -> None:
    cells = tables["cells"]
    cells.loc[cells["model"] == "a", "accuracy"] = math.inf
    cells.loc[cells["model"] == "b", "accuracy"] = -math.inf
    one = {"table": "cells", "column": "accuracy", "where": {"model": "a"}}
    row = decide(tables, one, ">= 40", minus=one | {"where": {"model": "b"}})
    assert (row["status"], row["value"], row["low"]) == (HELD, math.inf, math.inf)
    undefined = decide(tables, one, ">= 40", minus=one)
    assert (undefined["status"], undefined["seeds"]) == (NOT_MEASURED, 0)
    assert undefined["reason"] == "5 of 5 seeds have no number"


def test_absent_seeds_are_never_filled_in(tables: dict[str, pd.DataFrame]) -> None:
    cells = tables["cells"]
    where = {"model": "a", "depth": 8, "slope": 0.2, "strategy": "stored"}
    mine = (cells[list(where)] == pd.Series(where)).all(axis=1)
    value = {"table": "cells", "column": "accuracy", "where": where}
    cells.loc[mine, "accuracy"] = [0.9, 0.8, 0.7, math.nan, math.nan]
    undecided = decide(tables, value, ">= 0.75")
    assert (undecided["status"], undecided["seeds"]) == (UNDECIDED, 3)
    assert undecided["reason"].startswith("2 of 5 seeds have no number")
    assert decide(tables, value, ">= 0.6")["status"] == HELD
    assert decide(tables, value, ">= 0.95")["status"] == NOT_HELD


def lose(tables: dict[str, pd.DataFrame], status: str, **where: Any) -> None:
    """Let the cells and strategies at `where` end with `status` and without any number."""
    for name, frame in tables.items():
        hit = pd.Series(True, frame.index)
        for key, value in where.items():
            hit &= frame[key] == value
        if name == "cells":
            frame.loc[hit, "status"] = status
            frame.loc[hit, "accuracy"] = math.nan
        else:
            tables[name] = frame[~hit]


@pytest.mark.parametrize("status", ["oom", "timeout", "error", "missing", "diverged"])
@pytest.mark.parametrize("table", ["gradients", "cells"])
def test_a_lost_cell_takes_its_seed_along(tables: dict[str, pd.DataFrame], table: str, status: str) -> None:
    column = {"gradients": "rel_error", "cells": "accuracy"}[table]
    value = {"table": table, "column": column, "where": {"strategy": "approximate:4"}, "across": "min"}
    for seed in (0, 1):
        lose(tables, status, depth=8, model="a", slope=0.2, seed=seed)
    row = decide(tables, value, "> -1e9")
    assert (row["status"], row["seeds"]) == (HELD, 3)
    assert row["reason"] == "2 of 5 seeds have no number (cells without one: 2)"
    lose(tables, status, depth=8, model="b", slope=0.4, seed=2)
    row = decide(tables, value, "> -1e9")
    assert (row["status"], row["seeds"]) == (UNDECIDED, 2)
    assert row["reason"].startswith("3 of 5 seeds have no number (cells without one: 3), and they could turn")


@pytest.mark.parametrize("key", ["minus", "divided_by"])
def test_the_seeds_of_both_quantities_count(tables: dict[str, pd.DataFrame], key: str) -> None:
    one = {"table": "cells", "column": "accuracy", "where": {"model": "a", "depth": 2, "slope": 0.2, "seed": [0, 1]}}
    two = one | {"where": {"model": "b", "depth": 2, "slope": 0.2}}
    for seed in (2, 3, 4):
        lose(tables, "oom", model="b", seed=seed)
    row = decide(tables, one, "> -1e9", **{key: two})
    assert (row["status"], row["seeds"]) == (UNDECIDED, 2)
    assert row["reason"].startswith("3 of 5 seeds have no number")


@pytest.fixture
def collapsed(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Trainings at depth 8 and slope 0.2 diverged: of model a the second strategy's, in seeds 0, 1 and 2."""
    cells = tables["cells"]
    at = (cells["model"] == "a") & (cells["slope"] == 0.2) & (cells["depth"] == 8) & (cells["seed"] < 3)
    at &= cells["strategy"] == "approximate:4"
    cells.loc[at, "status"], cells.loc[at, "accuracy"] = "diverged", math.nan
    cells["train_seconds"] = 1.0
    return tables


def test_diverged_training_counts_as_the_case_says(collapsed: dict[str, pd.DataFrame]) -> None:
    where = {"model": "a", "slope": 0.2, "strategy": "approximate:4"}
    value = {"table": "cells", "column": "accuracy", "where": where, "across": "mean"}
    row = decide(collapsed, value | {"diverged": 0.125})
    seeds = []
    for seed in range(5):
        rows = rows_of(collapsed["cells"], seed=seed, **where)
        seeds.append(statistics.mean(0.125 if math.isnan(one["accuracy"]) else one["accuracy"] for one in rows))
    assert row["value"] == pytest.approx(statistics.median(seeds))
    assert row["seeds"] == 5
    assert row["reason"].startswith("3 trainings with approximate:4 diverged and count as 12.50 %")
    assert decide(collapsed, value)["seeds"] == 2


def test_every_diverged_training_of_a_cell_is_told_once(collapsed: dict[str, pd.DataFrame]) -> None:
    value = {"table": "cells", "column": "accuracy", "where": {"model": "a", "depth": 8}, "diverged": 0.1}
    row = decide(collapsed, value | {"within": "min", "across": "min"}, "<= 1", minus=value | {"within": "max"})
    assert row["reason"] == "3 trainings with approximate:4 diverged and count as 10.00 %"


def test_only_trainings_that_diverged_count_as_such(collapsed: dict[str, pd.DataFrame]) -> None:
    cells = collapsed["cells"]
    cells.loc[cells["seed"] == 1, ["status", "accuracy"]] = ["oom", math.nan]
    value = {"table": "cells", "column": "accuracy", "where": {"depth": 8}, "diverged": 0.1, "within": "min"}
    row = decide(collapsed, value, "<= 1")
    assert row["seeds"] == 4
    assert row["reason"].endswith("; 2 trainings with approximate:4 diverged and count as 10.00 %")
    cells.loc[cells["strategy"] == "approximate:4", "train_seconds"] = math.nan
    assert decide(collapsed, value, "<= 1")["seeds"] == 2


def test_what_was_assumed_stands_behind_what_is_absent(collapsed: dict[str, pd.DataFrame]) -> None:
    cells = collapsed["cells"]
    cells.loc[cells["seed"] > 1, ["status", "accuracy"]] = ["oom", math.nan]
    row = decide(
        collapsed,
        {"table": "cells", "column": "accuracy", "where": {"depth": 8}, "diverged": 0.1, "within": "min"},
    )
    assert row["status"] == UNDECIDED
    absent, assumed = row["reason"].split("; ")
    assert absent.endswith("and they could turn the median")
    assert assumed.startswith("2 trainings")


def test_diverged_training_leaves_the_gradients_that_were_measured(tables: dict[str, pd.DataFrame]) -> None:
    tables["cells"].loc[tables["cells"]["depth"] == 8, "status"] = "diverged"
    row = decide(tables, {"table": "gradients", "column": "rel_error"}, "> -1e9")
    assert (row["status"], row["seeds"], row["reason"]) == (HELD, 5, "")


def test_what_was_not_asked_for_is_not_lost(tables: dict[str, pd.DataFrame]) -> None:
    tables["cells"].loc[tables["cells"]["depth"] == 4, "accuracy"] = math.nan
    lose(tables, "excluded", model="b", strategy="approximate:4")
    row = decide(tables, {"table": "cells", "column": "accuracy"}, ">= 0")
    assert (row["status"], row["seeds"], row["reason"]) == (HELD, 5, "")
    # Stored training has no rows of gradients here, so a failed one lacks none.
    lose(tables, "oom", model="a", strategy="stored")
    row = decide(tables, {"table": "gradients", "column": "rel_error"}, "> -1e9")
    assert (row["status"], row["seeds"], row["reason"]) == (HELD, 5, "")


def test_one_failed_strategy_does_not_hide_behind_another(tables: dict[str, pd.DataFrame]) -> None:
    lose(tables, "oom", model="a", depth=2, strategy="stored")
    row = decide(tables, {"table": "cells", "column": "accuracy", "within": "max"}, ">= 0")
    assert (row["status"], row["seeds"]) == (NOT_MEASURED, 0)
    assert row["reason"] == "5 of 5 seeds have no number (cells without one: 10)"


@pytest.mark.parametrize("within", ["min", "max", "mean", "median"])
def test_nan_does_not_hide_among_numbers(tables: dict[str, pd.DataFrame], within: str) -> None:
    value = {"table": "gradients", "column": "rel_error", "within": within, "across": "max"}
    assert decide(tables, value, "> -1e9")["seeds"] == 5
    tables["gradients"].loc[0, "rel_error"] = math.nan
    row = decide(tables, value, "> -1e9")
    assert (row["status"], row["seeds"]) == (HELD, 4)
    assert row["reason"] == "1 of 5 seeds have no number (cells where it is nan: 1)"


def test_nan_in_a_summary_is_told_from_an_empty_field_by_its_rows(tables: dict[str, pd.DataFrame]) -> None:
    cells = tables["cells"]
    cells["min_snr_db"] = cells["accuracy"].where(cells["strategy"] != "stored")
    tables["activations"] = cells.loc[cells["strategy"] != "stored"].drop(columns="status")
    value = {"table": "cells", "column": "min_snr_db"}
    assert decide(tables, value, ">= 0")["seeds"] == 5
    cells.loc[cells.index[cells["strategy"] != "stored"][0], "min_snr_db"] = math.nan
    assert decide(tables, value, ">= 0")["reason"] == "1 of 5 seeds have no number (cells without one: 1)"


def test_gates_are_counted_where_there_are_gates(tables: dict[str, pd.DataFrame]) -> None:
    layers = tables["gradients"].assign(kind="activation", flipped_gates=0.5)
    layers.loc[::2, ["kind", "flipped_gates"]] = ["norm", math.nan]
    row = decide(tables | {"activations": layers}, {"table": "activations", "column": "flipped_gates"}, "> 0.4")
    assert (row["status"], row["seeds"], row["value"]) == (HELD, 5, 0.5)


def test_an_infinite_point_is_no_flat_slope(tables: dict[str, pd.DataFrame]) -> None:
    cells = tables["cells"]
    cells["accuracy"] = cells["depth"].map({2: 80.0, 4: 79.9, 8: -math.inf})
    row = decide(tables, {"table": "cells", "column": "accuracy", "slope_over": "depth"}, "> -0.1")
    assert (row["status"], row["seeds"]) == (NOT_MEASURED, 0)
    assert row["reason"] == ("5 of 5 seeds have no number (a slope has no number where one of its points is infinite)")


def test_a_cell_that_was_not_run_has_no_status_to_share(tables: dict[str, pd.DataFrame]) -> None:
    value = {"table": "cells", "column": "status", "within": "share", "equals": "ok", "where": {"depth": 8}}
    assert decide(tables, value, ">= 1")["status"] == HELD
    lose(tables, "missing", depth=8, model="a", slope=0.2)
    assert decide(tables, value | {"across": "min"}, ">= 1")["status"] == NOT_MEASURED


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"where": {"model": "a", "depth": 99}}, "no row of cells with model = a has depth = 99; there are 2, 4, 8"),
        ({"where": {"width": 3}}, "cells has no column 'width'"),
        ({"column": "loss"}, "cells has no column 'loss'"),
        ({"table": "training"}, "the run has no table training"),
        ({"column": "verdict"}, "cells.verdict holds words, of which only the share can be taken"),
        ({"slope_over": "depth", "where": {"depth": 4}}, "a slope over depth needs two values of it or more"),
        ({"slope_over": "model"}, "model is not a number, so there is no slope over it"),
    ],
)
def test_what_cannot_be_measured_says_why(tables: dict[str, pd.DataFrame], value: dict[str, Any], reason: str) -> None:
    row = decide(tables, {"table": "cells", "column": "accuracy", **value})
    assert (row["status"], row["reason"]) == (NOT_MEASURED, reason)


def test_without_a_finished_cell_the_reason_is_what_became_of_them(tables: dict[str, pd.DataFrame]) -> None:
    value = {"table": "cells", "column": "accuracy", "where": {"depth": 8}}
    for slope, status in ((0.2, "missing"), (0.4, "oom")):
        lose(tables, status, depth=8, slope=slope)
    at_eight = tables["cells"].loc[tables["cells"]["depth"] == 8, "status"]
    assert (decide(tables, value)["status"], set(at_eight)) == (NOT_MEASURED, {"missing", "oom"})
    assert decide(tables, value)["reason"] == "none of the cells that it asks for finished (missing, oom)"


def test_an_empty_table_is_not_measured(tables: dict[str, pd.DataFrame]) -> None:
    row = decide({"cells": tables["cells"].iloc[:0]}, {"table": "cells", "column": "accuracy"})
    assert (row["status"], row["reason"]) == (NOT_MEASURED, "cells has no rows")


def test_a_seed_alone_has_a_number_and_no_interval(tables: dict[str, pd.DataFrame]) -> None:
    row = decide(tables, {"table": "cells", "column": "accuracy", "where": {"seed": 3}}, ">= 0")
    assert (row["status"], row["seeds"]) == (HELD, 1)
    assert math.isnan(row["low"])


@pytest.mark.parametrize(
    ("numbers", "test", "status"),
    [
        ([3.0, 4.0, 5.0], "> 2", HELD),
        ([3.0, 4.0, 5.0], "> 3.5", UNDECIDED),
        ([3.0, 4.0, 5.0], "< 2", NOT_HELD),
        ([4.0, 4.0, 4.0], ">= 4", HELD),
        ([4.0], "> 3.5", HELD),
        ([4.0, 3.0], "<= 3.5", UNDECIDED),
    ],
)
def test_the_interval_must_clear_the_number(numbers: list[float], test: str, status: str) -> None:
    rows = [
        {"cell": str(s), "model": "a", "depth": 2, "slope": 0.1, "seed": s, "strategy": "x", "status": "ok", "loss": n}
        for s, n in enumerate(numbers)
    ]
    row = decide({"cells": pd.DataFrame(rows)}, {"table": "cells", "column": "loss"}, test)
    assert row["status"] == status
    assert row["value"] == statistics.median(numbers)
    assert row["reason"] == (
        f"the interval over {len(numbers)} seeds does not clear the number" * (status is UNDECIDED)
    )


def test_a_claim_of_one_profile_is_not_asked_of_another(tables: dict[str, pd.DataFrame]) -> None:
    value = {"table": "cells", "column": "accuracy"}
    settings = {"name": "one", "says": "x", "value": value, "test": "> -1", "profiles": ["full"]}
    claim = Claim.model_validate(settings)
    for profile, status in (("full", HELD), ("quick", NOT_MEASURED), (None, NOT_MEASURED)):
        (row,) = evaluate(tables, [claim], AXES, profile)
        assert row["status"] == status
    assert row["reason"] == "asked of the profile full only"


def test_what_is_measured_with_the_first_seed_alone_lacks_no_other_seed(tables: dict[str, pd.DataFrame]) -> None:
    cells = tables["cells"]
    first = cells["seed"] == 0
    cells["saved_bytes"] = np.where(first, np.arange(len(cells)) + 1.0, math.nan)
    value = {"table": "cells", "column": "saved_bytes", "where": {"model": "a"}, "within": "max", "across": "max"}
    row = decide(tables, value, "> 0", divided_by=value | {"where": {"model": "b"}})
    highest = [cells[first & (cells["model"] == model)]["saved_bytes"].max() for model in ("a", "b")]
    assert (row["status"], row["seeds"], row["reason"]) == (HELD, 1, "")
    assert row["value"] == pytest.approx(highest[0] / highest[1])
    lose(tables, "oom", model="a", seed=0)
    cells.loc[(cells["model"] == "a") & first, "saved_bytes"] = math.nan
    assert decide(tables, value, "> 0")["status"] == NOT_MEASURED
    cells.loc[first & (cells["model"] == "a") & (cells["depth"] == 2), ["status", "saved_bytes"]] = "ok", 1.0
    row = decide(tables, value, "> 0")
    assert (row["status"], row["reason"]) == (NOT_MEASURED, "1 of 1 seeds have no number (cells without one: 4)")


def test_a_column_that_every_seed_has_lacks_those_that_failed(tables: dict[str, pd.DataFrame]) -> None:
    cells = tables["cells"]
    cells["changed_buffers"] = 0.0
    for seed in (1, 2, 3):
        lose(tables, "oom", seed=seed)
        cells.loc[cells["seed"] == seed, "changed_buffers"] = math.nan
    row = decide(tables, {"table": "cells", "column": "changed_buffers"}, "<= 0")
    assert (row["status"], row["seeds"]) == (UNDECIDED, 2)
    assert row["reason"].startswith("3 of 5 seeds have no number")


def test_what_a_step_leaves_behind_is_asked_of_the_first_seed(tables: dict[str, pd.DataFrame]) -> None:
    cells = tables["cells"]
    first = cells[cells["seed"] == 0]
    tables["state"] = first[["cell", "model", "depth", "slope", "seed", "strategy"]].assign(outcome="exact", amount=0.0)
    value = {"table": "state", "column": "outcome", "within": "share", "equals": "fault", "across": "max"}
    row = decide(tables, value, "<= 0")
    assert (row["status"], row["seeds"], row["reason"]) == (HELD, 1, "")
