"""What a cell has found so far, kept on disk phase by phase, so that a process that ends early loses one phase."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from gradbench.errors import EnvironmentError
from gradbench.files import plain, write_atomic
from gradbench.measure.findings import Row

__all__ = ["Begun"]


@dataclass
class Begun:
    """The phases of a cell that are done, and everything that was found in them.

    Attributes:
        phases: their names, in the order in which they were run.
        rows: of each table, as in `Findings`.
        summary: each strategy's row of `cells`.
        seconds: how long they took.
        measuring_seconds: how much of that was measuring.
    """

    phases: list[str] = field(default_factory=list)
    rows: dict[str, list[Row]] = field(default_factory=dict)
    summary: dict[str, Row] = field(default_factory=dict)
    seconds: float = 0.0
    measuring_seconds: float = 0.0

    @classmethod
    def read(cls, path: Path | None) -> Begun:
        """Return what `path` keeps; nothing where there is no such file, or none that is whole."""
        with suppress(OSError, ValueError, TypeError):
            if path is not None:
                return cls(**json.loads(path.read_text(encoding="utf-8")))
        return cls()

    def write(self, path: Path) -> None:
        """Keep it in `path`. Infinities and NaN survive; where nothing can be written, nothing is kept."""
        with suppress(EnvironmentError):
            write_atomic(path, json.dumps(asdict(self), default=plain))
