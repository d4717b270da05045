"""The gate of a cell that has its device to itself."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

__all__ = ["GATE"]

GATE: Any = SimpleNamespace(shared=nullcontext, exclusive=nullcontext, give_way=lambda finish: None)
