"""What the benchmarks write: what their numbers belong to, and tables as Markdown and CSV."""

from __future__ import annotations

import platform
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
import torch

__all__ = ["environment", "shown", "table", "write"]


def environment(device: str) -> list[str]:
    """Return the machine, the versions and the command, a line each."""
    name = torch.cuda.get_device_name() if device == "cuda" else f"{_processor()}, {torch.get_num_threads()} threads"
    versions = f"torch {torch.__version__}, Python {platform.python_version()}"
    module = getattr(sys.modules["__main__"].__spec__, "name", "benchmarks")
    return [name, versions, "command: " + shlex.join(["python", "-m", module, *sys.argv[1:]])]


def _processor() -> str:
    """The processor's own name where the system tells it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def write(
    out: Path, title: str, device: str, frame: pd.DataFrame, sections: Iterable[tuple[str, pd.DataFrame]]
) -> None:
    """Write OUT.csv with all rows and OUT.md with a table for each section. Columns without a value are left out."""
    out.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(out.with_suffix(".csv"), index=False)
    lines = [f"# {title}", "", *(f"- {line}" for line in environment(device))]
    for name, part in sections:
        lines += ["", f"## {name}", "", *table(part.dropna(axis=1, how="all"))]
    out.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def table(frame: pd.DataFrame) -> Sequence[str]:
    """Return the lines of a Markdown table."""
    rows = [list(frame.columns), ["---"] * len(frame.columns), *(map(shown, row) for row in frame.itertuples(False))]
    return [f"| {' | '.join(row)} |" for row in rows]


def shown(value: object) -> str:
    """Return a number with four digits, nothing for what is absent, anything else as text."""
    if value is None or value != value:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
