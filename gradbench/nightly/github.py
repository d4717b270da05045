"""What GitHub Actions shows of a night: annotations on its page, and the summary of its job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from gradbench.files import cannot_write
from gradbench.nightly.markdown import markdown
from gradbench.nightly.outcome import Outcome

__all__ = ["notes", "tell_github"]


def tell_github(date: str, outcomes: Sequence[Outcome], environment: Mapping[str, str]) -> None:
    """Print annotations if `environment` is that of GitHub Actions, and add to the job's summary if it names one.

    Raises:
        EnvironmentError: the summary cannot be written.
    """
    if environment.get("GITHUB_ACTIONS") == "true":
        for line in notes(outcomes):
            print(line)
    if summary := environment.get("GITHUB_STEP_SUMMARY"):
        try:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(f"{markdown(date, outcomes)}\n")
        except OSError as error:
            raise cannot_write(Path(summary), error) from error


def notes(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """A line for each thing that somebody should see, errors first: ten of a kind are shown."""
    levels: dict[str, list[str]] = {"error": [], "warning": []}
    for one in outcomes:
        title = _escape(f"{one.case}, torch {one.torch}").replace(",", "%2C").replace(":", "%3A")
        errors = (*one.regressions, *((one.sentence,) if one.state == "failed" else ()))
        warnings = (*one.missing, *((one.sentence,) if one.state == "no baseline" else ()))
        for level, lines in (("error", errors), ("warning", warnings)):
            levels[level] += [f"::{level} title={title}::{_escape(line)}" for line in lines]
    yield from (*levels["error"], *levels["warning"])


def _escape(text: str) -> str:
    """As the workflow commands of GitHub Actions want it."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
