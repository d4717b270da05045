"""What the sources say stands in one place: claims, what differs, values; the claims of our own come after it."""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest

from gradbench.analysis.tables import read_run
from gradbench.analysis.units import PLAIN
from gradbench.report.beside import beside_the_source
from gradbench.report.build import build
from gradbench.report.rows import claim_rows


def section(page: str, name: str) -> str:
    return str(re.findall(f'<section aria-labelledby="{name}">.*?</section>', page, re.DOTALL)[0])


def test_claims_of_sources_and_our_own_stand_apart(page: str) -> None:
    sources, own = section(page, "sources"), section(page, "claims")
    names = {text: re.findall('id="claim-(.*?)"', text) for text in (sources, own)}
    assert names[sources] == ["layerwise-snr-falls", "hybrid-is-cleaner", "quantise-trains", "costs-nothing"]
    assert names[own] == ["never-measured"]
    assert page.index(sources) < page.index(own) < page.index('data-figure="errors"')


@pytest.mark.parametrize(
    ("source", "ours"),
    [
        ("gradbench", True),
        ("gradbench; a power gain of 1/3 gives 0.518", True),
        ("gradbench, against A et al., equation 32", False),
        ("A et al., Figure 11", False),
    ],
)
def test_whose_a_claim_is(folder: Path, source: str, ours: bool) -> None:
    row = {"claim": "c", "says": "s", "status": "held", "value": 1, "low": 1, "high": 1, "test": "> 0", "seeds": 1}
    row["unit"] = PLAIN
    beside = beside_the_source(read_run(folder), [{**row, "source": source, "reason": ""}])
    assert (len(beside.own), len(beside.claims)) == (ours, not ours)


def test_what_differs_stands_in_both_files(folder: Path, page: str) -> None:
    rows = re.findall("<tr>(.*?)</tr>", re.findall('<table class="differences">(.*?)</table>', page, re.DOTALL)[0])
    fields = [re.findall("<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]
    assert [row[0] for row in fields] == ["What", "the width", "the batch"]
    assert fields[1][2:] == ["16", "Time. Nothing else changes."]
    assert fields[2] == ["the batch", "256 images", "64", ""]
    summary = (folder / "summary.md").read_text(encoding="utf-8")
    assert "| the batch | 256 images | 64 |  |" in summary
    assert summary.index("## Beside the source") < summary.index("| the batch |") < summary.index("## Our own claims")


def test_a_curve_is_one_line_of_the_summary(folder: Path) -> None:
    table = beside_the_source(read_run(folder), []).references
    assert [curve.values for curve in table.curves] == [2, 2, 1]
    apart = sorted(float(row.keys[2]) for row in table.rows[:2])
    low, high = (float(text.replace("\N{MINUS SIGN}", "-")) for text in table.curves[0].difference.split(" to "))
    assert [low, high] == pytest.approx(apart, rel=0.01)
    assert statistics.mean(apart) != 0
    assert [curve.theirs for curve in table.curves] == ["80 to 60", "20 to 35.125", "352"]
    assert table.curves[0].place == "layerwise, negative slope 0.2, step 0, along depth"


def test_a_run_of_an_older_case_has_no_differences(make_run: Callable[..., Path]) -> None:
    run = make_run(depths=(3,), slopes=(0.2,), seeds=1)
    manifest = json.loads((run / "manifest.json").read_text())
    for name in ("difference", "reference"):
        del manifest["settings"][name]
    (run / "manifest.json").write_text(json.dumps(manifest))
    page = build(run).read_text(encoding="utf-8")
    assert "What differs" not in page
    assert "The source's values" not in page
    assert section(page, "sources").count('id="claim-') == 4


def test_a_smaller_profile_is_told_from_the_one_that_differences_are_of(
    make_run: Callable[..., Path], page: str
) -> None:
    run = make_run(depths=(3,), slopes=(0.2,), seeds=1)
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(manifest | {"profile": "quick"}))
    assert "this run has the profile quick" in section(build(run).read_text(encoding="utf-8"), "sources")
    assert "this run is of quick" in (run / "summary.md").read_text(encoding="utf-8")
    assert "this run has the profile" not in section(page, "sources")


def test_without_a_source_there_are_claims_alone(make_run: Callable[..., Path]) -> None:
    run = make_run(depths=(3,), slopes=(0.2,), seeds=1)
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(manifest | {"settings": {}}))
    claims = (run / "claims.csv").read_text().splitlines()
    (run / "claims.csv").write_text("\n".join([claims[0], claims[-1]]) + "\n")
    page = build(run).read_text(encoding="utf-8")
    assert "Beside the source" not in page
    assert '<h2 id="claims">Claims</h2>' in page
    assert 'href="#sources"' not in page


def test_what_rests_on_one_seed_says_so_where_others_have_an_interval() -> None:
    claim = {"claim": "c", "says": "", "source": "", "status": "held", "value": 1.5, "test": "> 1", "reason": ""}
    claim["unit"] = PLAIN
    nothing, some = {"low": math.nan, "high": math.nan}, {"low": 1.25, "high": 2.0}
    rows = [nothing | {"seeds": 0}, nothing | {"seeds": 1}, some | {"seeds": 3}]
    assert [row.spread for row in claim_rows([claim | row for row in rows])] == ["", "1 seed", "1.25 to 2"]
