"""Draw the charts that the texts of the reference runs show: `python docs/figures.py [CASE...]`.

A README names them, `![...](figures/PANEL.svg)`: these are drawn from its run's tables, as `gradbench report --figures`
draws them, and others beside them are removed.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from gradbench.analysis.tables import read_run
from gradbench.report.export import write_figures

_RUNS = Path(__file__).parents[1] / "reports/reference"
_SHOWN = re.compile(r"!\[[^]]*\]\(figures/([^)]+)\)")


def shown(run: Path) -> list[str]:
    """The files that the run's text shows, in its order."""
    return _SHOWN.findall((run / "README.md").read_text(encoding="utf-8"))


def draw(run: Path) -> None:
    """Write the run's figures.

    Raises:
        SystemExit: its text shows one that the run does not have.
    """
    names = shown(run)
    if not names:
        return
    with tempfile.TemporaryDirectory() as folder:
        drawn = {path.name: path for path in write_figures(read_run(run), Path(folder), ["svg"])}
        if unknown := sorted(set(names) - set(drawn)):
            raise SystemExit(f"{run.name}: no figure {', '.join(unknown)}; there are {', '.join(drawn)}")
        figures = run / "figures"
        figures.mkdir(exist_ok=True)
        for path in figures.iterdir():
            path.unlink()
        for name in names:
            (figures / name).write_bytes(drawn[name].read_bytes())


if __name__ == "__main__":
    for case in sys.argv[1:] or sorted(path.parent.name for path in _RUNS.glob("*/README.md")):
        draw(_RUNS / case)
