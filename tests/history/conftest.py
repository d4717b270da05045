"""Folders that look like runs: a manifest is all that the history reads of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


class Reports:
    """A folder of reports with runs that have a manifest and no tables."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def add(
        self, run: str, case: str = "mine", finished: str | None = None, torch: str = "2.13.0", **more: Any
    ) -> Path:
        """Write the run `case/run`, the newest of its case."""
        folder = self.out / case / run
        folder.mkdir(parents=True)
        environment = {"device": "cpu", "device_name": "a CPU", "torch": torch}
        manifest = {"case": case, "profile": "quick", "sets": [], "state": "complete", "environment": environment}
        finished = finished or f"2026-01-{len(list(self.out.glob('*/*/manifest.json'))) + 1:02d}T00:00:00Z"
        text = json.dumps({**manifest, "threads": 1, "finished": finished, **more})
        (folder / "manifest.json").write_text(text, encoding="utf-8")
        (folder.parent / "latest").write_text(f"{run}\n", encoding="utf-8")
        return folder


@pytest.fixture
def reports(tmp_path: Path) -> Reports:
    return Reports(tmp_path / "reports")
