"""A command line as a person writes it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

__all__ = ["command_line"]


def command_line(words: Iterable[str]) -> str:
    """Return the line that a POSIX shell reads as `words`; what is set for the command stands before it.

    >>> command_line(["CONF=a b", "gradbench", "run", "--set", "x=[1, 2]"])
    "CONF='a b' gradbench run --set 'x=[1, 2]'"
    """
    written: list[str] = []
    leading = True
    for word in words:
        setting = re.fullmatch(r"([A-Za-z_]\w*)=(.*)", word, re.DOTALL) if leading else None
        leading = setting is not None
        written.append(f"{setting[1]}={shlex.quote(setting[2])}" if setting else shlex.quote(word))
    return " ".join(written)
