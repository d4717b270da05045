"""A mistake in a case file as one line: where, what is wrong, what is allowed, and the nearest name."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gradbench.case.positions import Place, line_numbers, line_of

__all__ = ["PROFILE", "SET", "Mistake", "lines", "listed", "syntax_mistake", "toml"]

#: The first steps of places that are not in the file.
SET, PROFILE = "--set", "--profile"


@dataclass(frozen=True)
class Mistake:
    """One thing wrong at one place."""

    place: Place
    text: str

    @property
    def key(self) -> str:
        """The place as a user writes it: `measure.strategies[2]`.

        >>> Mistake(("claim", 0, "value.where", "depth"), "").key
        'claim[0].value.where.depth'
        """
        key = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.place).lstrip(".")
        return key.replace(f"{SET}.", f"{SET} ")

    @property
    def in_file(self) -> bool:
        """Whether the place is in the case file, not on the command line."""
        return not str(self.place[0]).startswith("--")


def lines(mistakes: Iterable[Mistake], file: str, text: str) -> list[str]:
    """Return one line a mistake in the order of the file, those of the command line last, none twice."""
    numbers = line_numbers(text)
    rows = []
    for mistake in dict.fromkeys(mistakes):
        if not mistake.in_file:
            rows.append((len(text), f"{mistake.key}: {mistake.text}"))
            continue
        number = line_of(mistake.place, numbers)
        where = f"{file}:{number}" if number else file
        rows.append((number, f"{where}: {mistake.key}: {mistake.text}"))
    return [row for _, row in sorted(rows, key=lambda row: row[0])]


def syntax_mistake(file: str, error: tomllib.TOMLDecodeError) -> str:
    """Return the line for a file that is not TOML: file, line, column and reason."""
    parts = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", str(error))
    if parts is None:
        return f"{file}: not valid TOML: {error}"
    return f"{file}:{parts[2]}:{parts[3]}: not valid TOML: {parts[1]}"


def listed(names: Iterable[Any]) -> str:
    """Return names or values as a list for a sentence."""
    return ", ".join(str(name) for name in names) or "none"


def toml(value: Any) -> str:
    """Return a value as it is written in a case file, shortened where it is long.

    >>> toml([True, "a", 0.1])
    '[true, "a", 0.1]'
    """
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        text = f'"{value}"'
    elif isinstance(value, (list, tuple)):
        text = f"[{', '.join(toml(item) for item in value)}]"
    else:
        text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
