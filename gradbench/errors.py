"""The errors that are for the user: one sentence each, with the exit code of the verb that meets them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["EXIT", "EXIT_CODES", "CaseError", "EnvironmentError", "GradbenchError", "UsageError", "did_you_mean"]


class EXIT:
    """The exit codes of every verb."""

    OK = 0
    FAILED = 1
    USAGE = 2
    INCOMPLETE = 3
    ENVIRONMENT = 4
    INTERRUPTED = 130


#: What each exit code says.
EXIT_CODES = {
    EXIT.OK: "all is fine",
    EXIT.FAILED: "a claim, a gate or a comparison failed",
    EXIT.USAGE: "bad usage, or a mistake in a case file",
    EXIT.INCOMPLETE: "some cells did not finish",
    EXIT.ENVIRONMENT: "this machine cannot do it: no GPU, no package, no data, no room",
    EXIT.INTERRUPTED: "interrupted",
}


class GradbenchError(Exception):
    """An error for the user. The command line prints its text, one line a sentence, and exits with `exit_code`."""

    exit_code = EXIT.FAILED


class UsageError(GradbenchError):
    """Wrong arguments: an unknown name, a value that is not allowed."""

    exit_code = EXIT.USAGE


class CaseError(UsageError):
    """Mistakes in a case file, all of them at once, one line each."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = tuple(lines)
        super().__init__("\n".join(self.lines))


class EnvironmentError(GradbenchError):
    """What was asked needs something that this machine lacks: a GPU, a package, a writable folder, disk space."""

    exit_code = EXIT.ENVIRONMENT


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the nearest of `allowed`, or an empty string when none is near."""
    near = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
