"""On which line of a case file a key stands, which `tomllib` does not tell."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["Place", "line_numbers", "line_of"]

#: The way to a value: names of tables and keys, and positions in lists.
Place = tuple[str | int, ...]


def _steps(value: Any, place: Place = ()) -> Iterator[Place]:
    """Yield the place of every value of a parsed file, names split at their dots; lists of values are one value."""
    yield place
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _steps(inner, (*place, *key.split(".")))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            if isinstance(inner, Mapping):
                yield from _steps(inner, (*place, index))


def line_numbers(text: str) -> dict[Place, int]:
    """Return the line on which every key of a TOML text begins.

    `tomllib` keeps no positions, but each prefix of the text that parses shows which keys its last statement added.
    """
    numbers: dict[Place, int] = {}
    rows = text.splitlines()
    start = 0
    for end in range(1, len(rows) + 1):
        if not rows[end - 1].strip() or rows[end - 1].lstrip().startswith("#"):
            if start == end - 1:
                start = end
            continue
        try:
            parsed = tomllib.loads("\n".join(rows[:end]))
        except tomllib.TOMLDecodeError:
            continue
        for place in _steps(parsed):
            numbers.setdefault(place, start + 1)
        start = end
    return numbers


def line_of(place: Place, numbers: Mapping[Place, int]) -> int:
    """The line of a place: its own, else that of what lies in it, else of what it lies in; 0 if none is known."""
    steps: Place = ()
    for step in place:
        steps += tuple(step.split(".")) if isinstance(step, str) else (step,)
    if steps not in numbers:
        inside = [number for other, number in numbers.items() if other[: len(steps)] == steps]
        if inside:
            return min(inside)
    while steps and steps not in numbers:
        steps = steps[:-1]
    return numbers[steps] if steps else 0
