"""The cells that a case stands for: every point of its matrix with every seed."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gradbench.case.keys import flatten, nest, setting_of
from gradbench.case.schema import Case, Exclude, Override, Scalar, Settings

__all__ = ["Cell", "applies", "count", "expand", "places", "points"]


@dataclass(frozen=True)
class Cell:
    """One point of a case's matrix with one seed.

    Attributes:
        id: 12 hexadecimal digits, a hash of `settings` and `seed`.
        case: the case's name.
        point: the axes' values, in the matrix's order.
        seed: 0, 1, ...
        settings: everything else that decides the cell's numbers, overrides applied.
    """

    id: str
    case: str
    point: dict[str, Scalar] = field(hash=False)
    seed: int
    settings: Settings


def points(matrix: Mapping[str, Sequence[Scalar]]) -> Iterator[dict[str, Scalar]]:
    """Yield every combination of the axes' values, the last axis running fastest; without axes, the one empty point."""
    for values in itertools.product(*matrix.values()):
        yield dict(zip(matrix, values, strict=True))


def applies(condition: Override | Exclude, point: Mapping[str, Scalar], seed: int) -> bool:
    """Return whether every entry of the condition's `when` matches this point and seed."""
    known = {**point, "seed": seed}
    return all(
        axis in known and known[axis] in (wanted if isinstance(wanted, list) else [wanted])
        for axis, wanted in condition.when.items()
    )


def places(case: Case) -> Iterator[tuple[int, dict[str, Scalar]]]:
    """Yield seed and point of every cell: seed 0 of every point first; what an `[[exclude]]` matches is left out."""
    for seed in range(case.seeds):
        for point in points(case.matrix):
            if not any(applies(exclude, point, seed) for exclude in case.exclude):
                yield seed, point


def count(case: Case) -> int:
    """Return how many cells `expand` gives."""
    return sum(1 for _ in places(case))


def expand(case: Case, name: str) -> tuple[Cell, ...]:
    """Return the cells of a resolved case called `name`.

    Seed 0 of every point comes first, then seed 1, and so on: an interrupted run has seen the whole matrix with its
    first seeds. Time, memory and what a step leaves behind do not depend on the seed, so `measure.cost` and
    `measure.state` stay true for seed 0 alone.
    """
    return tuple(_cells(case, name))


def _cells(case: Case, name: str) -> Iterable[Cell]:
    given = dict(flatten(case.model_dump(include={"train", "measure"})))
    # What the case leaves out of the model and the data, those of each cell decide.
    given |= flatten(case.model_dump(include={"model", "data"}, exclude_unset=True))
    for seed, point in places(case):
        keys = {setting_of(axis): axis for axis in point}
        values: dict[str, Any] = {**given, **{key: point[axis] for key, axis in keys.items()}}
        for override in case.override:
            if applies(override, point, seed):
                values.update(flatten(override.set))
        for key in ("measure.cost", "measure.state"):
            values[key] = values[key] and seed == 0
        settings = Settings.model_validate(nest(values))
        resolved = dict(flatten(settings.model_dump()))
        exact = {axis: resolved[key] for key, axis in keys.items()}
        yield Cell(_identity(settings, seed), name, exact, seed, settings)


def _identity(settings: Settings, seed: int) -> str:
    text = json.dumps({"seed": seed, "settings": settings.model_dump(mode="json")}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
