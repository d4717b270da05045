"""The verdict in words, from invented settings."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pandas as pd
import pytest

from gradbench.analysis.axes import read_axes
from gradbench.analysis.settings import by_setting, typical_verdict
from gradbench.analysis.verdict import other_lines, verdict_sentence

NUMBERS = ("rel_error", "noise_ratio", "worst_noise_ratio", "min_snr_db", "time_ratio", "step_seconds", "peak_bytes")
DEPTHS, SLOPES = (3, 5, 8), (0.1, 0.2)


def cells(verdict: Callable[[str, str, int, float], str], axes: tuple[str, ...]) -> pd.DataFrame:
    rows = []
    for model, depth, slope, seed in itertools.product(("layerwise", "hybrid"), DEPTHS, SLOPES, range(3)):
        for strategy in ("stored", "reconstruct", "checkpoint", "quantize:4"):
            if slope != 0.2 and strategy in ("checkpoint", "quantize:4") and "slope" in axes and "depth" in axes:
                continue
            row = {"model": model, "depth": depth, "slope": slope, "seed": seed, "strategy": strategy, "status": "ok"}
            row["reference"] = "stored"
            row |= dict.fromkeys(
                (*NUMBERS, "saved_bytes", "bytes_per_pixel", "counted_bytes_per_pixel", "accuracy"), 1.0
            )
            row |= {"verdict": verdict(strategy, model, depth, slope), "worst_parameter": "w", "cell": str(len(rows))}
            rows.append(
                {key: value for key, value in row.items() if key not in {"model", "depth", "slope"} - set(axes)}
            )
    return pd.DataFrame(rows)


def said(verdict: Callable[[str, str, int, float], str], *axes: str, first: str = "") -> tuple[str, tuple[str, ...]]:
    frame = cells(verdict, axes)
    settings, roles = by_setting(frame, axes), read_axes(frame, axes)
    return verdict_sentence(settings, roles, first), other_lines(settings, roles, first)


def story(strategy: str, model: str, depth: int, slope: float) -> str:
    if strategy == "reconstruct" and model == "layerwise":
        return {3: "rounding", 5: "comparable", 8: "harmful"}[depth] if slope == 0.2 else "broken"
    return {"reconstruct": "below-noise", "quantize:4": "comparable"}.get(strategy, "exact")


def test_the_whole_story() -> None:
    assert said(story, "model", "depth", "slope", first="reconstruct") == (
        "Reconstruction (reconstruct) keeps every weight gradient of the hybrid network below the noise of SGD at "
        "every depth up to 8; the worst of the layerwise network is comparable to the noise of SGD at depth 5 and "
        "harmful from depth 8 on (slope 0.2).",
        (
            "checkpoint: exact at every depth up to 8",
            "quantize:4: comparable to the noise of SGD at every depth up to 8",
        ),
    )


def test_the_sentence_is_about_the_strategy_that_the_case_names_first() -> None:
    sentence, others = said(story, "model", "depth", first="quantize:4")
    assert sentence == (
        "With the strategy quantize:4 the worst weight gradient is comparable to the noise of SGD at every depth "
        "up to 8."
    )
    assert [line.partition(": ")[0] for line in others] == ["reconstruct", "checkpoint"]
    assert others[0].startswith("reconstruct: layerwise broken at every depth up to 8; hybrid below")


def test_groups_with_the_same_verdicts_are_named_together_or_not_at_all() -> None:
    sentence, others = said(lambda s, m, d, _: "exact" if d < 4 or s == "checkpoint" else "broken", "model", "depth")
    assert sentence == "With reconstruction (reconstruct) the worst weight gradient is broken from depth 5 on."
    assert others[0] == "checkpoint: exact at every depth up to 8"
    assert others[1] == "quantize:4: exact up to depth 3 and broken from depth 5 on"


def test_right_verdicts_in_a_row_are_one_stretch_named_by_the_worst() -> None:
    sentence, _ = said(lambda s, m, d, _: {3: "exact", 5: "rounding", 8: "below-noise"}[d], "model", "depth")
    assert sentence == (
        "Reconstruction (reconstruct) keeps every weight gradient below the noise of SGD at every depth up to 8."
    )


def test_what_was_not_measured_is_not_passed_over() -> None:
    assert said(lambda s, m, d, _: "exact" if d == 3 else "", "depth")[0] == (
        "With reconstruction (reconstruct) the worst weight gradient is exact up to depth 3 and not measured from "
        "depth 5 on."
    )
    assert said(lambda s, m, d, _: "", "depth")[0] == "Reconstruction (reconstruct) was not measured."


def test_a_case_with_one_numeric_axis_of_another_name() -> None:
    sentence, _ = said(lambda s, m, d, slope: "unresolved" if slope < 0.15 else "exact", "slope")
    assert sentence == (
        "With reconstruction (reconstruct) the worst weight gradient is unresolved up to slope 0.1 and exact from "
        "slope 0.2 on."
    )


def test_a_case_without_a_numeric_axis() -> None:
    assert said(lambda s, m, d, _: "exact" if m == "hybrid" else "broken", "model")[0] == (
        "Reconstruction (reconstruct) keeps every weight gradient of the hybrid network exact; the worst of the "
        "layerwise network is broken."
    )


def test_a_case_without_any_axis() -> None:
    sentence, others = said(lambda s, m, d, _: "harmful" if s == "reconstruct" else "exact")
    assert sentence == "With reconstruction (reconstruct) the worst weight gradient is harmful."
    assert others == ("checkpoint, quantize:4: exact",)


def test_without_a_sentence_every_strategy_has_its_line() -> None:
    frame = cells(lambda s, m, d, _: "harmful" if s == "reconstruct" else "exact", ())
    lines = other_lines(by_setting(frame, ()), read_axes(frame, ()), None)
    assert lines == ("reconstruct: harmful", "checkpoint, quantize:4: exact")
    frame, axes = cells(story, ("model", "depth", "slope")), ("model", "depth", "slope")
    lines = other_lines(by_setting(frame, axes), read_axes(frame, axes), None)
    assert lines[1] == "checkpoint: exact at every depth up to 8 (slope 0.2)"


def test_groups_of_two_axes_are_named_by_the_first() -> None:
    frame = cells(lambda s, m, d, _: "exact", ("model",))
    frame = pd.concat([frame.assign(precision=name) for name in ("float64", "float32", "tf32")], ignore_index=True)
    lost = (frame["strategy"] == "checkpoint") & (frame["model"] == "hybrid")
    frame.loc[lost & (frame["precision"] != "float64"), "verdict"] = "harmful"
    axes = ("model", "precision")
    lines = other_lines(by_setting(frame, axes), read_axes(frame, axes), "reconstruct")
    assert lines == ("checkpoint: layerwise and hybrid float64 exact; hybrid float32/tf32 harmful", "quantize:4: exact")


@pytest.mark.parametrize(
    ("verdicts", "typical"),
    [(["exact", "broken"], "broken"), (["harmful", "exact", "rounding"], "rounding"), ([], ""), (["exact"], "exact")],
)
def test_the_typical_verdict_is_the_middle_one_or_the_worse(verdicts: list[str], typical: str) -> None:
    assert typical_verdict(verdicts) == typical
