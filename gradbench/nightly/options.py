"""What a night is asked for."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from gradbench.case.find import find, shipped
from gradbench.errors import UsageError, did_you_mean

__all__ = ["NightOptions", "cases_of", "check", "today"]


@dataclass(frozen=True)
class NightOptions:
    """What the command line asks for; what a run is asked for too is explained there (`runner.options`).

    Attributes:
        cases: names, globs or paths of case files; empty for the shipped cases with the tag.
        tag: of the cases.
        profile: of the cases.
        sets: "key=value".
        device: "auto", "cpu", "cuda" or "cuda:N".
        out: the folder that gets a folder for each case and `nightly`.
        jobs: cells at a time.
        timeout: seconds that a cell may take.
        keep: how many nights' runs are kept.
        date: the night, YYYY-MM-DD.
        timings: whether times are judged.
        verbosity: -1 quiet, 0, 1 with verdicts.
        argv: the command line as it was typed.
    """

    cases: tuple[str, ...] = ()
    tag: str = "nightly"
    profile: str | None = None
    sets: tuple[str, ...] = ()
    device: str = "auto"
    out: Path = Path("reports")
    jobs: int | None = None
    timeout: float | None = None
    keep: int = 30
    date: str = ""
    timings: bool = False
    verbosity: int = 0
    argv: tuple[str, ...] = ()


def today() -> str:
    """The date in UTC."""
    return datetime.now(UTC).date().isoformat()


def check(options: NightOptions) -> None:
    """Refuse what cannot be meant.

    Raises:
        UsageError: a date that is none, or no night to keep.
    """
    try:
        written = date.fromisoformat(options.date).isoformat() == options.date
    except ValueError:
        written = False
    if not written:
        raise UsageError(f"--date {options.date}: a night is a date, for example {today()}")
    if options.keep < 1:
        raise UsageError(f"--keep {options.keep}: at least the night itself is kept")


def cases_of(options: NightOptions) -> list[Path]:
    """The files of the night's cases.

    Raises:
        UsageError: a name or a tag that means no case, or two files of the same name.
    """
    if not options.cases:
        return _tagged(options.tag)
    found: dict[str, Path] = {}
    for path in (path for word in options.cases for path in find(word)):
        if found.setdefault(path.stem, path).resolve() != path.resolve():
            raise UsageError(f"{found[path.stem]} and {path}: two cases of the same name would share a folder")
    return list(found.values())


def _tagged(tag: str) -> list[Path]:
    tags = {path: _tags(path) for path in shipped().values()}
    found = [path for path, of_it in tags.items() if tag in of_it]
    if not found:
        near = did_you_mean(tag, {each for of_it in tags.values() for each in of_it})
        raise UsageError(f"--tag {tag}: no shipped case has it{near}")
    return found


def _tags(path: Path) -> list[str]:
    """What the file says, unchecked: its mistakes are the run's to tell."""
    tags = tomllib.loads(path.read_text(encoding="utf-8")).get("tags", [])
    return [str(tag) for tag in tags]
