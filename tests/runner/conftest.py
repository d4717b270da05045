"""A case whose cells do what they are told (`fake_cells.py`), and runs of it, here and in a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import gradbench
from gradbench.results import TABLES
from gradbench.runner.run import RunOptions, Targets, run_cases

TARGETS = Targets(
    cell="fake_cells:run_cell",
    probe="fake_cells:probe",
    data="fake_cells:fetch",
    report="fake_cells:report",
    preload=("gradbench.case.expand",),
)
_CASE = """
schema = 1
title = "A planted case"
seeds = 2

[matrix]
model = ["hybrid"]
depth = [1, 2, 3]

[data]
name = "npz"
path = "{data}"

[measure]
strategies = ["reconstruct", "checkpoint"]

[[claim]]
name = "finite"
says = "Every cell measures an SNR below 1000 dB"
value = {{ table = "cells", column = "min_snr_db", within = "max" }}
test = "{test}"
"""


@pytest.fixture(autouse=True)
def _fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted cells can be imported by name, also in the processes that are started from here."""
    monkeypatch.syspath_prepend(Path(__file__).parent)


@dataclass(frozen=True)
class Planted:
    """The case in `folder`: its file, what its cells do, what was executed, and the runs in `folder / "out"`."""

    folder: Path

    @property
    def options(self) -> RunOptions:
        return RunOptions(cases=(str(self.folder / "planted.toml"),), out=self.folder / "out")

    def targets(self, **others: str) -> Targets:
        return replace(TARGETS, **others)

    @property
    def out(self) -> Path:
        return self.folder / "out" / "planted"

    def write(self, test: str = "< 1000", extra: str = "") -> None:
        data = self.folder / "images.npz"
        data.write_bytes(b"never read by planted cells")
        (self.folder / "planted.toml").write_text(_CASE.format(data=data, test=test) + extra)
        self.behave({})

    def behave(self, behaviours: dict[int, str]) -> None:
        """What the cells of a depth do from now on."""
        (self.folder / "behaviour.json").write_text(json.dumps(behaviours))

    def run(self, targets: Targets = TARGETS, **changes: Any) -> int:
        return run_cases(replace(self.options, **changes), targets)

    def start(self, *, stderr: Any = subprocess.DEVNULL, after: str = "pass", **changes: Any) -> subprocess.Popen[str]:
        """Run in another process, which can be killed; the statement `after` is its last."""
        code = (
            "if __name__ == '__main__':\n"
            "    import sys\n"
            "    from pathlib import PosixPath\n"
            "    from gradbench.runner.run import RunOptions, Targets, run_cases\n"
            f"    code = run_cases({replace(self.options, **changes)!r}, {TARGETS!r})\n"
            f"    {after}\n"
            "    sys.exit(code)\n"
        )
        (self.folder / "start.py").write_text(code)
        roots = (Path(gradbench.__file__).parents[1], Path(__file__).parent)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, roots))}
        command = [sys.executable, str(self.folder / "start.py")]
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True, start_new_session=True
        )

    def executions(self) -> Counter[str]:
        """How often each cell was executed so far, by its id."""
        file = self.folder / "executions.txt"
        return Counter(file.read_text().split() if file.exists() else [])

    def records(self, out: Path | None = None) -> list[Path]:
        """The files of the store, one a cell."""
        folder = (out or self.folder / "out") / "planted" / ".cells"
        return [path for path in folder.glob("*.json") if not path.name.startswith("environment")]

    def newest(self) -> Path:
        return self.out / (self.out / "latest").read_text().strip()

    def manifest(self) -> dict[str, Any]:
        manifest: dict[str, Any] = json.loads((self.newest() / "manifest.json").read_text())
        return manifest

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self.newest() / f"{name}.csv", keep_default_na=True)

    def firm_tables(self, folder: Path | None = None) -> dict[str, str]:
        """Every CSV file of a run as text, without the columns that depend on the load of the machine."""
        found = {}
        for name, table in TABLES.items():
            advisory = [column.name for column in table.columns if not column.firm]
            frame = pd.read_csv((folder or self.newest()) / table.file, dtype=str, keep_default_na=False)
            found[name] = frame.drop(columns=[column for column in advisory if column in frame]).to_csv()
        return found


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    case = Planted(tmp_path)
    case.write()
    return case


@pytest.fixture
def wait_for() -> Callable[..., None]:
    def wait(condition: Callable[[], object], seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it did not happen in time"
            time.sleep(0.02)

    return wait
