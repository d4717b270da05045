"""A case, its nights, and what is planted between them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest

import gradbench
from gradbench.history.baselines import accept
from gradbench.history.find import find_run, runs_of
from gradbench.history.table import read_history
from gradbench.nightly.night import run_night
from gradbench.nightly.options import NightOptions
from gradbench.runner.options import Targets

TARGETS = Targets(
    cell="planted_cells:run_cell",
    probe="planted_cells:probe",
    data="planted_cells:fetch",
    report="planted_cells:report",
    preload=("gradbench.case.expand",),
)
_CASE = """
schema = 1
title = "A planted case"
seeds = 3

[matrix]
depth = [1, 2]

[data]
name = "npz"
path = "{data}"

[measure]
strategies = ["reconstruct", "approximate:4"]

[[claim]]
name = "small"
says = "The error stays small"
value = {{ table = "cells", column = "rel_error", where = {{ strategy = "approximate:4" }} }}
test = "{test}"
"""


@dataclass(frozen=True)
class Nights:
    """Nights of the case `folder / "mine.toml"` with their reports in `folder / "reports"`."""

    folder: Path

    @property
    def out(self) -> Path:
        return self.folder / "reports"

    @property
    def options(self) -> NightOptions:
        return NightOptions(cases=(str(self.folder / "mine.toml"),), out=self.out)

    def write(self, name: str = "mine", test: str = "< 1") -> Path:
        path = self.folder / f"{name}.toml"
        path.write_text(_CASE.format(test=test, data=self.folder / "images.npz"))
        return path

    def plant(self, *behaviours: str) -> None:
        (self.folder / "behaviour.json").write_text(json.dumps(behaviours))

    def run(self, date: str, **changes: Any) -> int:
        targets = replace(TARGETS, **{name: changes.pop(name) for name in ("cell", "data", "probe") if name in changes})
        return run_night(replace(self.options, date=date, **changes), targets)

    def start(self, date: str) -> subprocess.Popen[str]:
        """A night in another process, which can be killed."""
        code = (
            "if __name__ == '__main__':\n"
            "    import sys\n"
            f"    sys.path[:0] = {[str(Path(gradbench.__file__).parents[1]), str(Path(__file__).parent)]!r}\n"
            "    from pathlib import PosixPath\n"
            "    from gradbench.nightly.night import run_night\n"
            "    from gradbench.nightly.options import NightOptions\n"
            "    from gradbench.runner.options import Targets\n"
            f"    sys.exit(run_night({replace(self.options, date=date)!r}, {TARGETS!r}))\n"
        )
        (self.folder / "start.py").write_text(code)
        command = [sys.executable, str(self.folder / "start.py")]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, stderr=subprocess.DEVNULL, text=True, start_new_session=True)

    def accept(self, text: str = "mine/latest") -> Path:
        folder = find_run(text, self.out)
        accept(folder, "it is right")
        return folder

    def executions(self) -> Counter[str]:
        """How often each cell was executed so far, by its id."""
        file = self.folder / "executions.txt"
        return Counter(file.read_text().split() if file.exists() else [])

    def runs(self, case: str = "mine") -> list[str]:
        """The names of a case's runs, the oldest first, also of two that ended in the same second."""
        return [run.name for run in runs_of(self.out / case)]

    def history(self, case: str = "mine") -> pd.DataFrame:
        return read_history(self.out / case)

    def summary(self, date: str) -> str:
        return (self.out / "nightly" / date / "summary.md").read_text()

    def json(self, date: str) -> list[dict[str, Any]]:
        cases: list[dict[str, Any]] = json.loads((self.out / "nightly" / date / "nightly.json").read_text())["cases"]
        return cases

    def junit(self, date: str) -> ElementTree.Element:
        return ElementTree.parse(self.out / "nightly" / date / "junit.xml").getroot()


@pytest.fixture
def nights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nights:
    """No night was run yet."""
    _alone(monkeypatch)
    return _new(tmp_path)


@pytest.fixture(scope="session")
def _first(tmp_path_factory: pytest.TempPathFactory) -> Nights:
    """One night was run and accepted; its folder is copied by every test that begins there."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        _alone(monkeypatch)
        made = _new(tmp_path_factory.mktemp("first"))
        assert made.run("2026-01-05") == 0
        made.accept()
    return made


@pytest.fixture
def second(_first: Nights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nights:
    """The night of 2026-01-05 was run and accepted."""
    _alone(monkeypatch)
    made = _new(tmp_path)
    shutil.copytree(_first.out, made.out)
    return made


def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted cells can be imported by name, and nobody takes the night for one on GitHub."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)


def _new(folder: Path) -> Nights:
    (folder / "images.npz").write_bytes(b"never read by planted cells")
    made = Nights(folder)
    made.write()
    made.plant()
    return made
