"""`gradbench gather` hands everything over and exits with what comes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from click.testing import Result

from gradbench.runner import gather
from gradbench.runner.options import RunOptions

Call = Callable[..., Result]


def test_every_option_arrives(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[RunOptions, Sequence[Path]]] = []

    def gathered(options: RunOptions, folders: Sequence[Path]) -> int:
        seen.append((options, folders))
        return 3

    monkeypatch.setattr(gather, "gather", gathered)
    result = call(
        *("gather", "--case", "x", "--profile", "full", "--set", "seeds=1", "--out", "some/where", "-q", "one", "two")
    )
    assert result.exit_code == 3
    ((options, folders),) = seen
    assert options == RunOptions(
        cases=("x",), profile="full", sets=("seeds=1",), out=Path("some/where"), verbosity=-1, argv=options.argv
    )
    assert folders == (Path("one"), Path("two"))


def test_a_folder_is_needed(call: Call) -> None:
    result = call("gather", "--case", "x")
    assert result.exit_code == 2
    assert "FROM" in result.stderr
