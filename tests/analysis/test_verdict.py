"""The verdict in words, from invented settings."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pandas as pd
import pytest

from gradbench.analysis.axes import read_axes
from gradbench.analysis.settings import by_setting, typical_verdict
from gradbench.analysis.verdict import verdict_sentence

NUMBERS = ("rel_error", "noise_ratio", "worst_noise_ratio", "min_snr_db", "time_ratio", "step_seconds", "peak_bytes")
DEPTHS, SLOPES = (3, 5, 8), (0.1, 0.2)


def cells(verdict: Callable[[str, str, int, float], str], axes: tuple[str, ...]) -> pd.DataFrame:
    rows = []
    for model, depth, slope, seed in itertools.product(("layerwise", "hybrid"), DEPTHS, SLOPES, range(3)):
        for strategy in ("stored", "reconstruct", "checkpoint", "quantize:4"):
            if slope != 0.2 and strategy in ("checkpoint", "quantize:4") and "slope" in axes and "depth" in axes:
                continue
            row = {"model": model, "depth": depth, "slope": slope, "seed": seed, "strategy": strategy, "status": "ok"}
            row |= dict.fromkeys((*NUMBERS, "saved_bytes", "bytes_per_pixel", "accuracy"), 1.0)
            row |= {"verdict": verdict(strategy, model, depth, slope), "worst_parameter": "w", "cell": str(len(rows))}
            rows.append(
                {key: value for key, value in row.items() if key not in {"model", "depth", "slope"} - set(axes)}
            )
    return pd.DataFrame(rows)


def sentence(verdict: Callable[[str, str, int, float], str], *axes: str) -> str:
    frame = cells(verdict, axes)
    return verdict_sentence(by_setting(frame, axes), read_axes(frame, axes))


def story(strategy: str, model: str, depth: int, slope: float) -> str:
    if strategy == "reconstruct" and model == "layerwise":
        return {3: "rounding", 5: "comparable", 8: "harmful"}[depth] if slope == 0.2 else "broken"
    return {"reconstruct": "below-noise", "quantize:4": "comparable"}.get(strategy, "exact")


def test_the_whole_story() -> None:
    assert sentence(story, "model", "depth", "slope") == (
        "At slope 0.2, with reconstruct, hybrid keeps its gradients below SGD noise at every depth up to 8; the "
        "gradients of layerwise are right to rounding up to depth 3, comparable to SGD noise at depth 5 and harmful "
        "from depth 8 on. At every depth up to 8, checkpoint is exact and quantize:4 is comparable to SGD noise."
    )


def test_right_verdicts_in_a_row_are_one_stretch_named_by_the_worst() -> None:
    said = sentence(lambda s, m, d, _: {3: "exact", 5: "rounding", 8: "below-noise"}[d], "model", "depth")
    assert said == "At every depth up to 8, reconstruct, checkpoint and quantize:4 are below SGD noise."


def test_a_case_with_one_numeric_axis_of_another_name() -> None:
    said = sentence(lambda s, m, d, slope: "harmful" if s == "reconstruct" and slope < 0.15 else "exact", "slope")
    assert said == (
        "With reconstruct the gradients are harmful up to slope 0.1 and exact from slope 0.2 on. "
        "At every slope up to 0.2, checkpoint and quantize:4 are exact."
    )


def test_a_case_without_a_numeric_axis() -> None:
    assert sentence(lambda s, m, d, _: "exact" if m == "hybrid" else "broken", "model").startswith(
        "With reconstruct, hybrid keeps its gradients exact; the gradients of layerwise are broken."
    )


def test_a_case_without_any_axis() -> None:
    said = sentence(lambda s, m, d, _: "harmful" if s == "reconstruct" else "exact")
    assert said == "Reconstruct is harmful; checkpoint and quantize:4 are exact."


@pytest.mark.parametrize(
    ("verdicts", "typical"),
    [(["exact", "broken"], "broken"), (["harmful", "exact", "rounding"], "rounding"), ([], ""), (["exact"], "exact")],
)
def test_the_typical_verdict_is_the_middle_one_or_the_worse(verdicts: list[str], typical: str) -> None:
    assert typical_verdict(verdicts) == typical
