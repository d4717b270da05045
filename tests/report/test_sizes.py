"""An axis of memory limits is written in sizes, wherever the page, the summary or a figure names its values."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from gradbench.analysis.tables import read_run
from gradbench.report import export
from gradbench.report.build import build
from gradbench.report.export import write_figures
from gradbench.report.figures import figures
from tests.report.synthetic_run import write_run


@pytest.fixture
def limited(tmp_path: Path) -> Path:
    """A run whose slopes, 0.06 and 0.1, have become memory limits of 600 MB and 1 GB."""
    folder = write_run(tmp_path / "run", depths=(5,), slopes=(0.06, 0.1), seeds=2)
    for path in folder.glob("*.csv"):
        table = pd.read_csv(path)
        if "negative_slope" in table:
            limits = (table.pop("negative_slope") * 1e10).round().astype(int)
            table.insert(3, "memory_limit", limits)
        table.to_csv(path, index=False)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    del manifest["axes"]["negative_slope"], manifest["settings"]["reference"]
    manifest["axes"]["memory_limit"] = [600_000_000, 1_000_000_000]
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def test_pages_and_summaries_write_sizes(limited: Path) -> None:
    page = build(limited).read_text(encoding="utf-8")
    for text in (page, (limited / "summary.md").read_text(encoding="utf-8")):
        assert "600 MB" in text
        assert "up to 1 GB" in text
        assert not {"6e+08", "1e+09", "600000000"} & set(re.split(r"[\s<>|]+", text))


def test_figures_write_sizes(limited: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = ("errors", "layers")
    monkeypatch.setattr(export, "figures", lambda run, scene: [one for one in figures(run, scene) if one.id in some])
    written = write_figures(read_run(limited), tmp_path / "figures", ["svg"])
    assert {path.name.split("-")[0] for path in written} == set(some)
    for path in written:
        words = re.findall(r">([^<]+)</text>", path.read_text(encoding="utf-8"))
        assert {"600MB", "1GB"} <= set(words), path.name
        assert "600000000" not in words
