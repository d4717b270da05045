"""The page and the summary of synthetic runs: whole, small, safe, and honest about what is missing."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from gradbench.analysis.summary import summarise
from gradbench.errors import EnvironmentError
from gradbench.report.build import build

MEGABYTE = 1_000_000


class Outline(HTMLParser):
    """What a browser would find in the page: elements, ids, links, headings, and attributes that run code."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.links: list[str] = []
        self.headings: list[int] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] += 1
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        for name, value in attrs:
            if name == "id":
                self.ids[str(value)] += 1
            elif name in ("href", "src"):
                self.links.append(str(value))
            elif name.startswith("on"):
                self.handlers.append(name)


def charts(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="text/plain" id="charts">(.*?)</script>', page, re.DOTALL)
    assert found
    parsed: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(found[1])))
    return parsed


def test_hostile_names_stay_text(page: str) -> None:
    outline = Outline(page)
    assert outline.elements["script"] == 3  # the data, Vega, ours
    assert outline.elements["img"] == 0
    assert outline.handlers == []
    assert "window.injected" in page  # the names are shown, escaped


def test_the_page_needs_nothing_from_outside(page: str) -> None:
    outline = Outline(page)
    assert outline.links
    assert all(link.startswith("#") for link in outline.links)
    assert outline.elements["link"] == 0
    assert "default-src 'none'" in page
    assert "@import" not in page


def test_every_link_leads_somewhere_and_every_cell_has_its_own(folder: Path, page: str) -> None:
    ids = Outline(page).ids
    assert max(ids.values()) == 1
    assert {link[1:] for link in Outline(page).links} <= set(ids)
    cells = pd.read_csv(folder / "cells.csv", dtype=str)["cell"]
    assert {f"cell-{cell}" for cell in cells} <= set(ids)


def test_headings_go_down_one_level_at_a_time(page: str) -> None:
    headings = Outline(page).headings
    assert headings.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))


def test_the_verdict_the_claims_and_the_command_stand_in_both_files(folder: Path, page: str) -> None:
    said = summarise(folder)
    sentence = said.sentence
    assert sentence.startswith("Reconstruction (reconstruct) ")
    summary = (folder / "summary.md").read_text(encoding="utf-8")
    for text in (page, summary):
        assert sentence in text
        for line in said.others:
            name, _, verdict = line.partition(": ")
            assert name in text
            assert verdict in text
        assert "gradbench run --case hybrid-depth-sweep --profile full" in text
        for status in ("✓ held", "✗ not held", "? undecided", "\N{EN DASH} not measured"):
            assert status in " ".join(re.sub("<[^>]*>", "", text).split())
        assert "the interval over 8 seeds does not clear the number" in text
        assert "11.2" in text
        assert "out of memory: 2.1 GiB wanted" in text
    assert page.index(sentence) < page.index("11.2") < page.index('data-figure="errors"')
    assert "<script" not in summary.replace("\\<script", "")


def test_every_dataset_is_stored_once_and_every_chart_has_its_own(page: str) -> None:
    content = charts(page)
    used = [chart["data"] for figure in content["figures"].values() for chart in figure["charts"]]
    assert set(used) == set(content["data"])
    assert list(content["figures"]) == ["errors", "layers", "snr", "profile", "training", "accuracy", "cost", "memory"]


def test_a_case_that_asks_of_something_else_begins_with_its_claims_and_their_figure(
    make_run: Callable[..., Path],
) -> None:
    run = make_run(depths=(3, 5), slopes=(0.2,), seeds=2)
    manifest = json.loads((run / "manifest.json").read_text())
    asked = {"value": {"table": "cells", "column": "min_snr_db"}}
    manifest["settings"]["claim"] = [asked | {"name": name} for name in ("a", "b")]
    (run / "manifest.json").write_text(json.dumps(manifest))
    assert list(charts(build(run).read_text(encoding="utf-8"))["figures"])[:3] == ["snr", "errors", "layers"]
    said = summarise(run)
    assert said.sentence.startswith("Not held: Naive quantisation ")
    named = [name for line in said.others for name in line.partition(": ")[0].split(", ")]
    assert sorted(named) == ["approximate:4", "checkpoint", "naive-quantize:4", "reconstruct"]
    manifest["settings"]["claim"][1]["minus"] = {"table": "gradients", "column": "cosine"}
    (run / "manifest.json").write_text(json.dumps(manifest))
    assert list(charts(build(run).read_text(encoding="utf-8"))["figures"])[:3] == ["errors", "layers", "snr"]
    assert summarise(run).sentence.startswith("Reconstruction (reconstruct) ")


def test_a_full_run_stays_small(make_run: Callable[..., Path]) -> None:
    # Fewer seeds than in a full run: the charts hold medians, so that seeds lengthen the table alone.
    run = make_run(depths=(3, 4, 5, 7, 10, 14, 20, 28), slopes=(0.05, 0.1, 0.2, 0.4), seeds=1, steps=(0, 50, 200))
    assert build(run).stat().st_size < 1.3 * MEGABYTE


def test_a_run_without_training_says_so(make_run: Callable[..., Path]) -> None:
    run = make_run(train=False, depths=(3, 5), seeds=2)
    page = build(run).read_text(encoding="utf-8")
    assert "trained no network with a strategy" in page
    assert "training" not in charts(page)["figures"]


def test_what_the_sources_count_stands_beside_what_was_measured_where_they_do(make_run: Callable[..., Path]) -> None:
    run = make_run(train=False, depths=(3, 5), seeds=2)
    assert "the same, by count" in build(run).read_text(encoding="utf-8")
    assert " | bytes/px | counted |\n" in (run / "summary.md").read_text(encoding="utf-8")
    cells = pd.read_csv(run / "cells.csv", dtype=str)
    cells.assign(counted_bytes_per_pixel="").to_csv(run / "cells.csv", index=False)
    assert "the same, by count" not in build(run).read_text(encoding="utf-8")
    assert " | bytes/px |\n" in (run / "summary.md").read_text(encoding="utf-8")


def test_a_run_without_any_finished_cell_still_has_a_page(make_run: Callable[..., Path]) -> None:
    run = make_run(depths=(3,), slopes=(0.2,), seeds=1)
    for name in ("gradients", "activations", "training"):
        lines = (run / f"{name}.csv").read_text(encoding="utf-8").splitlines()
        (run / f"{name}.csv").write_text(lines[0] + "\n", encoding="utf-8")
    cells = pd.read_csv(run / "cells.csv", dtype=str)
    measured = cells.columns.difference(["cell", "model", "depth", "negative_slope", "seed", "strategy"])
    cells[measured] = ""
    cells.assign(status="timeout", reason="over 5 s").to_csv(run / "cells.csv", index=False)
    page = build(run).read_text(encoding="utf-8")
    assert charts(page)["figures"] == {}
    assert "over 5 s" in page
    assert "not measured" in summarise(run).sentence


def test_faults_after_one_step_are_counted_and_told(make_run: Callable[..., Path]) -> None:
    run = make_run(depths=(3, 5), slopes=(0.2,), seeds=1)
    assert "Faults after one step" not in build(run).read_text(encoding="utf-8")
    cells = pd.read_csv(run / "cells.csv", dtype=str)
    rows = cells[cells["strategy"] == "reconstruct"][["cell", "model", "depth", "negative_slope", "seed", "strategy"]]
    found = rows.assign(check="masks", outcome="fault", says="dropout draws another mask", amount=1)
    found.to_csv(run / "state.csv", index=False)
    page = build(run).read_text(encoding="utf-8")
    assert 'Faults after one step: <a href="#state"><b>1</b></a>' in page
    assert "dropout draws another mask" in page
    line = r"- reconstruct, masks: dropout draws another mask \(\w+, depth 3, negative slope 0.2 and \d more cells?\)"
    assert re.search(line, (run / "summary.md").read_text(encoding="utf-8"))


def test_an_interrupted_run_says_so(make_run: Callable[..., Path]) -> None:
    run = make_run(depths=(3,), slopes=(0.2,), seeds=1)
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(manifest | {"state": "interrupted"}))
    assert "This run is interrupted" in build(run).read_text(encoding="utf-8")


def test_a_folder_that_cannot_be_written_is_a_sentence(
    make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(depths=(3,), slopes=(0.2,), seeds=1)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gradbench.files.os.fsync", full)
    with pytest.raises(EnvironmentError, match=r"summary\.md: cannot write there: no space left on device"):
        build(run)
    assert not list(run.glob("*.tmp"))
