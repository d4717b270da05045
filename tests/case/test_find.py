"""A case is found by name, by glob and by path."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradbench.case.find import find, shipped
from gradbench.errors import UsageError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with two case files."""
    for name in ("one.toml", "two.toml", "notes.txt"):
        (tmp_path / name).write_text("", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_shipped_case_is_found_by_name_from_anywhere(folder: Path) -> None:
    (path,) = find("hybrid-depth-sweep")
    assert path == shipped()["hybrid-depth-sweep"]
    assert 'title = "' in path.read_text(encoding="utf-8")


def test_a_path_is_itself(folder: Path) -> None:
    assert find("one.toml") == [Path("one.toml")]
    assert find(str(folder / "two.toml")) == [folder / "two.toml"]


def test_a_glob_is_over_names_and_over_paths(folder: Path) -> None:
    assert find("*") == list(shipped().values())
    assert find("hybrid-*") == [path for name, path in shipped().items() if name.startswith("hybrid-")]
    assert find("./*") == [Path("one.toml"), Path("two.toml")]
    assert find("[o]ne.toml") == [Path("one.toml")]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("hybrid-depth-swep", "unknown case 'hybrid-depth-swep': .* did you mean 'hybrid-depth-sweep'?"),
        ("cases/hybrid-depth-swep.toml", "there is no such case file; did you mean 'hybrid-depth-sweep'?"),
        ("zzz*", "no case matches 'zzz\\*'"),
        ("notes.txt", "notes.txt: not a case file"),
    ],
)
def test_what_is_not_found_is_answered(folder: Path, name: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        find(name)


def test_no_shipped_cases_is_no_crash(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradbench.case.find._PACKAGE", folder / "gradbench")
    assert shipped() == {}
    (folder / "gradbench/cases").mkdir(parents=True)
    (folder / "gradbench/cases/mine.toml").write_text("", encoding="utf-8")
    (folder / "cases").mkdir()
    assert list(shipped()) == ["mine"]
