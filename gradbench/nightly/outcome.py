"""What a night found about one case; every output (nightly.json, Markdown, JUnit, annotations) is a reader of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from gradbench.errors import EXIT

__all__ = ["Check", "Outcome", "from_json", "in_short", "same_place", "to_json", "worst"]

State = Literal["failed", "regression", "incomplete", "no baseline", "no regression"]
#: From what somebody must look at first to what nobody must.
STATES: tuple[State, ...] = ("failed", "regression", "incomplete", "no baseline", "no regression")


@dataclass(frozen=True)
class Check:
    """What was judged of one strategy at one setting; a test case of JUnit.

    Attributes:
        name: the strategy and the setting, for example "reconstruct at model=hybrid, depth=3".
        regressions: a sentence each.
    """

    name: str
    regressions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What a night found about one case in one environment.

    Attributes:
        case: its name.
        state: in a word.
        code: the exit code that it asks for.
        sentence: what was found, in one.
        torch: the version.
        place: the environment in words.
        profile: the profile's name.
        sets: what `--set` changed.
        environment: the key of `compare.environment`; empty where no run was written.
        run: the run's folder in the folder of its case; empty where none was written.
        baseline: that of the baseline; empty where there is none.
        verdict: the run's own sentence on its case.
        seconds: how long the night worked on the case.
        regressions: a sentence each, the worst first.
        improvements: likewise.
        advisory: what is worse and not judged.
        missing: what the night lacks: cells that did not finish though the baseline's did.
        claims: how many of the case's claims have which status.
        not_held: the claims that are not, with a remark where the baseline did not hold them either.
        changes: lasting changes in the history that happened lately.
        checks: everything that was judged.
    """

    case: str
    state: State
    code: int
    sentence: str
    torch: str
    place: str = ""
    profile: str | None = None
    sets: tuple[str, ...] = ()
    environment: str = ""
    run: str = ""
    baseline: str = ""
    verdict: str = ""
    seconds: float = 0.0
    regressions: tuple[str, ...] = ()
    improvements: tuple[str, ...] = ()
    advisory: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    claims: Mapping[str, int] | None = None
    not_held: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()


def same_place(one: Outcome, other: Outcome) -> bool:
    """Whether both are about the same case in the same environment, as far as it is known of one that failed."""
    versions = {outcome.torch.partition("+")[0] for outcome in (one, other)}  # a failed one knows no build's name
    if (one.case, one.sets) != (other.case, other.sets) or len(versions) > 1:
        return False
    known = one.environment and other.environment
    return not known or (one.environment, one.profile) == (other.environment, other.profile)


def worst(outcomes: Iterable[Outcome]) -> int:
    """The exit code of a night: 1 where anything regressed, else the largest of its cases'."""
    codes = [outcome.code for outcome in outcomes]
    return EXIT.FAILED if EXIT.FAILED in codes else max(codes, default=EXIT.OK)


def in_short(outcomes: Iterable[Outcome]) -> str:
    """How many cases are in which state, for example "1 regression, 2 no regression"."""
    states = [outcome.state for outcome in outcomes]
    return ", ".join(f"{states.count(state)} {state}" for state in STATES if state in states) or "no case was run"


def to_json(outcome: Outcome) -> dict[str, Any]:
    """Plain values."""
    return asdict(outcome)


def from_json(entry: Mapping[str, Any]) -> Outcome:
    """What `to_json` wrote, after a way through a file."""
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()}
    checks = tuple(Check(check["name"], tuple(check["regressions"])) for check in entry["checks"])
    return Outcome(**{**values, "checks": checks})
