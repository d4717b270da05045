"""Every way to name a run, and one sentence for every name that means none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gradbench.errors import UsageError
from gradbench.history.baselines import accept
from gradbench.history.find import earlier, find_run, is_run, runs_of

if TYPE_CHECKING:
    from conftest import Reports


@pytest.fixture
def four(reports: Reports) -> list[Path]:
    """Three runs of `mine` with one of `other` between them; names say nothing of the order."""
    return [reports.add("c"), reports.add("b"), reports.add("z", case="other"), reports.add("a")]


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("latest", 3),
        ("latest~0", 3),
        ("latest~1", 1),
        ("latest~2", 0),
        ("mine/latest", 3),
        ("mine/latest~2", 0),
        ("other/latest", 2),
        ("mine/b", 1),
    ],
)
def test_a_word_means_a_run(reports: Reports, four: list[Path], text: str, index: int) -> None:
    assert find_run(text, reports.out) == four[index]


def test_a_folder_means_its_run_or_the_newest_in_it(reports: Reports, four: list[Path]) -> None:
    elsewhere = reports.out / "nowhere"
    assert find_run(str(four[1]), elsewhere) == four[1]
    assert find_run(str(reports.out / "mine"), elsewhere) == four[3]
    assert find_run(str(reports.out / "mine/latest~1"), elsewhere) == four[1]


def test_baseline_is_that_of_the_newest_run_or_of_the_one_it_is_held_against(reports: Reports) -> None:
    old = reports.add("1", torch="2.9.0")
    first = reports.add("2")
    later_old = reports.add("3", torch="2.9.0")
    reports.add("4")
    accept(old, "it is right")
    accept(first, "it is right")
    assert find_run("baseline", reports.out) == first
    assert find_run("mine/baseline", reports.out) == first
    assert find_run("baseline", reports.out, like=later_old) == old


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("latest~3", r"latest~3: there are 3 runs in .*mine, the oldest of them latest~2"),
        ("other/latest~1", r"latest~1: there is 1 run in .*other, latest"),
        ("mien/latest", r"mien: no run there; did you mean 'mine'\?"),
        ("mine/bb", r"mine/bb: there is no such run; .*; did you mean 'mine/b'\?"),
        ("baseline", r"no baseline was accepted for mine, profile quick, torch 2.13.0, a CPU, threads 1; .*--reason"),
    ],
)
def test_what_is_not_there_is_said_in_one_sentence(
    reports: Reports, four: list[Path], text: str, sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence) as caught:
        find_run(text, reports.out)
    assert "\n" not in str(caught.value)


def test_no_run_at_all(reports: Reports) -> None:
    for text in ("latest", "latest~1", "baseline"):
        with pytest.raises(UsageError, match="no run there yet"):
            find_run(text, reports.out)


def test_runs_are_told_from_cases(tmp_path: Path) -> None:
    for text in ("latest", "latest~12", "baseline", "mine/latest", "mine/latest~1", "mine/baseline", str(tmp_path)):
        assert is_run(text)
    for text in ("mine", "latest~", "latest~x", "mine.toml", "baselines"):
        assert not is_run(text)


def test_runs_are_ordered_by_the_time_at_which_they_ended(reports: Reports) -> None:
    second = reports.add("a", finished="2026-01-02T00:00:00Z")
    third = reports.add("b", finished="2026-01-03T00:00:00Z")
    first = reports.add("c", finished="2026-01-01T00:00:00Z")
    (reports.out / "mine/.cells").mkdir()
    (reports.out / "mine/.cells/manifest.json").write_text("{}")
    assert runs_of(reports.out / "mine") == [first, second, third]
    assert runs_of(reports.out / "absent") == []


def test_earlier_runs_are_those_of_its_series_the_newest_first(reports: Reports) -> None:
    first = reports.add("1", sets=["seeds=2", "train.steps=3"])
    reports.add("2", torch="2.9.0", sets=["seeds=2", "train.steps=3"])
    reports.add("3", profile=None, sets=["seeds=2", "train.steps=3"])
    reports.add("4", sets=["seeds=2"])
    second = reports.add("5", sets=["seeds=2", "train.steps=3"])
    (reports.add("6", sets=["seeds=2", "train.steps=3"]) / "manifest.json").write_text("cut o")
    last = reports.add("7", sets=["train.steps=9", "train.steps=3", "seeds=2"])
    assert list(earlier(last)) == [second, first]
    assert list(earlier(first)) == []
