"""The page of a comparison: verdict, findings, what moved and in which layers, what differs, what was covered."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from gradbench.analysis.axes import axis_value, read_axes
from gradbench.analysis.tables import Run
from gradbench.compare.comparison import Comparison, Finding
from gradbench.report.build import charts
from gradbench.report.figure import Figure, Scene, missing
from gradbench.report.pack import compressed
from gradbench.report.page import render
from gradbench.report.palette import Palette
from gradbench.report.rows import Field
from gradbench.report.words import axis_name, number
from gradbench.site.figures.ratios import ratio_figure
from gradbench.site.figures.through_layers import QUESTION, layer_figure, layers_of_both, most_changed
from gradbench.site.links import INDEX, case_path, link
from gradbench.site.listed import outcome_of, when, where
from gradbench.site.shelf import Entry, Pair

__all__ = ["compare_page"]

_TONES = {"regression": "bad", "improvement": "good", "advisory": "calm"}
#: How many weight tensors the table under the layers has.
_TENSORS = 30


@dataclass(frozen=True)
class _Row:
    kind: str
    tone: str
    check: str
    strategy: str
    setting: str
    says: str
    ratio: Field
    adjusted: Field


def compare_page(pair: Pair, base: Run, new: Run, comparison: Comparison) -> str:
    """The HTML of a comparison."""
    to = partial(link, pair.page)
    axes = read_axes(new.tables["cells"], new.axes)
    strategies = dict.fromkeys(str(name) for run in (base, new) for name in run.tables["cells"]["strategy"])
    scene = Scene(axes, Palette.of(strategies))
    layers, tensors = _layers(base, new, comparison, scene)
    figures = [ratio_figure(comparison, scene), layers]
    title = str(new.manifest.get("title") or pair.new.case)
    return render(
        "compare",
        scripts=to("scripts"),
        package="gradbench.site",
        title=title,
        trail=(("gradbench", to(INDEX)), (title, to(case_path(pair.new.case)))),
        place=f"{pair.base.name} and {pair.new.name}",
        base=_side(pair.base, to(pair.base.page)),
        new=_side(pair.new, to(pair.new.page)),
        comparison=comparison,
        standing=outcome_of(pair, comparison).standing,
        counts=_counts(comparison),
        findings=[_row(finding) for finding in comparison.findings],
        strategies=list(strategies),
        looked=list(_looked(comparison.tests, [*strategies, ""])),
        figures=figures,
        tensors=list(_tensors(tensors, scene)),
        tensor_axes=[
            *map(axis_name, axes.groups),
            *([axis_name(axes.along)] if axes.along else []),
            "strategy",
            "step",
        ],
        charts=compressed(charts(figures)) if any(figure.charts for figure in figures) else "",
    )


def _side(entry: Entry, url: str) -> dict[str, str]:
    return {"name": entry.name, "url": url, "when": when(entry.manifest), "where": where(entry.manifest)}


def _layers(base: Run, new: Run, comparison: Comparison, scene: Scene) -> tuple[Figure, pd.DataFrame]:
    """The figure of the layers, and the tensors that changed most."""
    if base.axes != new.axes or comparison.identical:
        why = "In none: the runs are identical." if comparison.identical else "The two runs have different axes."
        return missing("layers", QUESTION, why), pd.DataFrame()
    both = layers_of_both(base.tables["gradients"], new.tables["gradients"], scene)
    return layer_figure(both, scene), most_changed(both, _TENSORS)


def _tensors(frame: pd.DataFrame, scene: Scene) -> Iterator[dict[str, Any]]:
    for row in frame.to_dict("records"):
        groups = row["g"].split(" · ") if scene.axes.groups else []
        along = [axis_value(scene.axes.along, row["x"])] if scene.axes.along else []
        place = [*groups, *along, row["s"], str(row["step"])]
        yield {"name": row["name"], "place": place, "base": number(row["base"]), "new": number(row["new"])}


def _counts(comparison: Comparison) -> list[tuple[str, int]]:
    """How many findings there are of each kind, and how much was covered."""
    kinds = [str(finding.kind) for finding in comparison.findings]
    found = [(f"{kind}{'s' * (kinds.count(kind) != 1)}", kinds.count(kind)) for kind in ("regression", "improvement")]
    coverage = comparison.coverage
    compared = [("measurements compared", coverage.compared), ("missing", len(coverage.missing))]
    return [*found, ("advisory", kinds.count("advisory")), *compared]


def _row(finding: Finding) -> _Row:
    """A finding, written."""
    return _Row(
        kind=finding.kind,
        tone=_TONES[finding.kind],
        check=finding.check.replace("_", " "),
        strategy=finding.strategy,
        setting=", ".join(f"{axis_name(axis)} {value}" for axis, value in finding.setting.items()),
        says=finding.says,
        ratio=_field(finding.ratio),
        adjusted=_field(finding.adjusted),
    )


def _field(value: float) -> Field:
    return Field(number(value), "" if math.isnan(value) else f"{value:.6g}")


def _looked(tests: pd.DataFrame, strategies: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A row for each check: for each strategy, and for what has none, how many tests had which outcome."""
    found: dict[str, dict[str, Counter[str]]] = {}
    for check, strategy, outcome in zip(tests["check"], tests["strategy"], tests["outcome"], strict=True):
        found.setdefault(check, {}).setdefault(strategy, Counter())[outcome] += 1
    for check, counts in found.items():
        yield {"check": check.replace("_", " "), "outcomes": [_outcomes(counts.get(name)) for name in strategies]}


def _outcomes(counts: Counter[str] | None) -> str:
    if not counts:
        return ""
    return ", ".join(outcome if counts.total() == 1 else f"{count} {outcome}" for outcome, count in counts.items())
