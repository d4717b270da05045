"""A table on a terminal: names stay whole, prose is broken into lines, nothing is cut."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from gradbench.cli import tables
from gradbench.cli.tables import print_sentence, print_table

ADDRESS = "https://example.org/a/very/long/address/without/a/place/to/break/it"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "sys", SimpleNamespace(stdout=SimpleNamespace(isatty=lambda: True)))
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.mark.usefixtures("terminal")
def test_names_stay_whole_and_all_of_the_prose_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [["selective-checkpoint", "several words that take more than a line", ADDRESS], ["stored", "few words", ""]]
    print_table(["name", "summary", "source"], rows, prose=["summary", "source"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 60
    assert lines[1].startswith("selective-checkpoint  several words")
    source = lines[0].index("source")
    assert "".join(line[source:].strip() for line in lines[1:]) == ADDRESS


@pytest.mark.usefixtures("terminal")
def test_a_terminal_that_is_too_narrow_is_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["a", "b"], [["x" * 40, "y" * 40]])
    assert capsys.readouterr().out.splitlines()[1].split() == ["x" * 40, "y" * 40]


@pytest.mark.usefixtures("terminal")
def test_a_sentence_breaks_between_words_alone(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["selective-checkpoint:every-second", "naive-quantize:4", ADDRESS]
    print_sentence(", ".join(names))
    assert [line.rstrip(",") for line in capsys.readouterr().out.replace(", ", "\n").splitlines()] == names
