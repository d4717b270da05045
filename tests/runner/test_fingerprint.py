"""What counts as source that decides a cell's numbers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import gradbench
from gradbench.registry import Entry
from gradbench.runner.fingerprint import source_fingerprint
from gradbench.strategies import STRATEGIES


def test_it_is_the_same_twice() -> None:
    assert source_fingerprint() == source_fingerprint()


@pytest.mark.parametrize(
    ("file", "counts"),
    [("strategies/stored.py", True), ("data/digits.py", True), ("results.py", True), ("runner/run.py", False)],
)
def test_only_what_decides_numbers_counts(
    file: str, counts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = Path(gradbench.__file__).parent
    copy = tmp_path / "gradbench"
    for path in package.rglob("*.py"):
        target = copy / path.relative_to(package)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    before = source_fingerprint()
    monkeypatch.setattr(gradbench, "__file__", str(copy / "__init__.py"))
    assert source_fingerprint() == before
    with (copy / file).open("a") as changed:
        changed.write("# a comment\n")
    assert (source_fingerprint() != before) is counts


def test_a_package_that_adds_a_strategy_counts_and_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "someones_strategies"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "mine.py").write_text("class Mine: ...")
    monkeypatch.syspath_prepend(tmp_path)
    before = source_fingerprint()
    monkeypatch.setitem(STRATEGIES._entries, "mine", Entry("someones_strategies.mine:Mine", "mine"))
    registered = source_fingerprint()
    (package / "mine.py").write_text("class Mine: changed = True")
    assert len({before, registered, source_fingerprint()}) == 3
    assert "someones_strategies" not in sys.modules
