"""The places that settings come from, one over the other: the file, a profile, the command line, an override.

All of them name settings in the same way and are checked by the same code.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from pydantic import Field, ValidationError

from gradbench.case.keys import DEFAULTS, axis_problem, nest, setting_of
from gradbench.case.mistakes import Mistake, toml
from gradbench.case.positions import Place
from gradbench.case.schema import Section, Settings
from gradbench.case.sentences import mistakes_in

__all__ = ["MATRIX", "Changes", "Given", "Layer", "matrix_of", "read_layer", "stack"]

#: What the key of an axis begins with.
MATRIX = "matrix."


class Changes(Settings):
    """What a profile and the command line may change."""

    seeds: Annotated[int, Field(ge=1)] = 1
    matrix: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Layer:
    """Settings from one place.

    Attributes:
        base: the place.
        entries: its valid values by dotted key; an axis of the matrix is `matrix.AXIS`.
        faulty: the keys that it gives wrongly, and those that a misspelt one may stand for: nothing else is said about
            them.
    """

    base: Place
    entries: Mapping[str, Any]
    faulty: frozenset[str]


class Given(NamedTuple):
    """A value, the rank of the layer that gives it (later layers win), and its place."""

    value: Any
    rank: int
    place: Place


def read_layer(pairs: Sequence[tuple[str, Any]], base: Place, model: type[Section]) -> tuple[Layer, list[Mistake]]:
    """Check dotted keys and values that may be what `model` holds."""
    entries = dict(pairs)
    names = [key for key, _ in pairs]
    mistakes = [
        Mistake((*base, *key.split(".")), "is given twice")
        for key in entries
        if names.count(key) > 1 or any(other.startswith(f"{key}.") for other in names)
    ]
    axes = {}
    if "matrix" in model.model_fields:
        axes = {key: value for key, value in entries.items() if key.startswith(MATRIX)}
        if entries.get("matrix", {}) != {}:
            mistakes.append(Mistake((*base, "matrix"), f"must be a table, got {toml(entries['matrix'])}"))
    rest = nest({key: value for key, value in entries.items() if key not in axes and key != "matrix"})
    try:
        model.model_validate(rest)
    except ValidationError as error:
        mistakes += mistakes_in(error, model, rest, base)
    for key, values in axes.items():
        mistakes += _axis_mistakes(key.removeprefix(MATRIX), values, (*base, "matrix", key.removeprefix(MATRIX)))
    faulty = frozenset(
        key for key in entries if any(_concerns(mistake.place[len(base) :], key) for mistake in mistakes)
    )
    meant = {near for key in faulty for near in difflib.get_close_matches(key, DEFAULTS, n=1, cutoff=0.8)}
    sound = {key: value for key, value in entries.items() if key not in faulty}
    return Layer(base, sound, faulty | meant), mistakes


def _concerns(place: Place, key: str) -> bool:
    """Whether a mistake at `place` is one in, above or below the entry `key`."""
    steps = ".".join(step for step in place if isinstance(step, str))
    return f"{key}.".startswith(f"{steps}.") or f"{steps}.".startswith(f"{key}.")


def _axis_mistakes(axis: str, values: Any, place: Place) -> Iterator[Mistake]:
    """Check an axis's name, and each of its values as the setting that it stands for."""
    if problem := axis_problem(axis):
        yield Mistake(place, problem)
        return
    if not isinstance(values, list) or not values:
        yield Mistake(place, f"must be a list of at least one value, got {toml(values)}")
        return
    for index, value in enumerate(values):
        if value in values[:index]:
            yield Mistake((*place, index), f"{toml(value)} is listed twice: once is allowed")
        elif isinstance(value, (list, Mapping)):
            yield Mistake((*place, index), f"must be a single value, got {toml(value)}")
        else:
            settings = nest({setting_of(axis): value})
            try:
                Settings.model_validate(settings)
            except ValidationError as error:
                yield from (
                    Mistake((*place, index), mistake.text) for mistake in mistakes_in(error, Settings, settings, ())
                )


def stack(layers: Sequence[Layer]) -> dict[str, Given]:
    """Lay later layers over earlier ones."""
    return {
        key: Given(value, rank, (*layer.base, *key.split(".")))
        for rank, layer in enumerate(layers)
        for key, value in layer.entries.items()
    }


def matrix_of(given: Mapping[str, Given]) -> dict[str, list[Any]]:
    """The axes of the matrix with their values."""
    return {key.removeprefix(MATRIX): one.value for key, one in given.items() if key.startswith(MATRIX)}
