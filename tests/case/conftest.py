"""Case files written by tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a case file of the given sections; schema and title are there."""

    def write_case(text: str) -> Path:
        path = tmp_path / "mine.toml"
        path.write_text(f'schema = 1\ntitle = "Mine"\n{text}', encoding="utf-8")
        return path

    return write_case
