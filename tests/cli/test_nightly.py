"""`gradbench nightly`: what it hands over, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from gradbench.nightly import night
from gradbench.nightly.options import NightOptions, today

Call = Callable[..., Result]


def test_every_option_reaches_the_night(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[NightOptions] = []

    def run_night(options: NightOptions) -> int:
        asked.append(options)
        return 3

    monkeypatch.setattr(night, "run_night", run_night)
    words = "--case a --case b --tag t --profile p --set x=1 --device cpu --out o --jobs 3 --timeout 9 --keep 7"
    assert call("nightly", *words.split(), "--date", "2026-01-05", "--timings", "-q").exit_code == 3
    expected = NightOptions(
        ("a", "b"), "t", "p", ("x=1",), "cpu", Path("o"), 3, 9.0, 7, "2026-01-05", True, -1, asked[0].argv
    )
    assert asked == [expected]
    call("nightly")
    assert asked[1] == NightOptions(date=today(), argv=asked[1].argv)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--tag", "nightli"], "did you mean 'nightly'?"),
        (["--date", "5 January"], "a night is a date"),
        (["--keep", "0"], "at least the night itself is kept"),
        (["--format", "json"], "--format: belongs to --by torch"),
        (["--by", "numpy"], "'numpy' is not 'torch'"),
    ],
)
def test_what_cannot_be_meant_is_refused(call: Call, tmp_path: Path, arguments: list[str], sentence: str) -> None:
    result = call("nightly", "--out", tmp_path / "reports", *arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert not (tmp_path / "reports").exists()
