"""What the cells of a case file will do, known before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradbench.case.expand import applies, points
from gradbench.case.keys import DEFAULTS, defaults_of, setting_of
from gradbench.case.layers import MATRIX, Given, Layer, matrix_of, stack
from gradbench.case.schema import Case, Exclude, Override

__all__ = ["Conditions", "Plan", "plan", "resolved", "values_of"]


@dataclass(frozen=True)
class Conditions:
    """What a case says of some points only: its valid overrides, each with its `set` as a layer, and exclusions."""

    overrides: Sequence[tuple[Override, Layer]]
    excludes: Sequence[Exclude]

    def at(self, point: Mapping[str, Any], seeds: range) -> Iterator[tuple[tuple[int, ...], list[Layer]]]:
        """Yield the seeds at a point that share their settings, with their overrides' layers; not the excluded ones."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for seed in seeds:
            if not any(applies(exclude, point, seed) for exclude in self.excludes):
                key = tuple(
                    index for index, (override, _) in enumerate(self.overrides) if applies(override, point, seed)
                )
                groups.setdefault(key, []).append(seed)
        for key, some in groups.items():
            yield tuple(some), [self.overrides[index][1] for index in key]


@dataclass(frozen=True)
class Plan:
    """What one point of the matrix will do with some seeds: the words that a `where` or a `when` can match."""

    point: Mapping[str, Any]
    seeds: tuple[int, ...]
    measured: tuple[str, ...]
    trained: tuple[str, ...]
    steps: tuple[int, ...]

    def words(self, key: str, table: str) -> Sequence[Any] | None:
        """The values that `key` has in the rows of these cells; None where only the run can tell."""
        if key in self.point:
            return (self.point[key],)
        if key == "seed":
            return self.seeds
        if key == "strategy":
            measured = dict.fromkeys(("activations", "state"), self.measured)
            return {"training": self.trained, **measured}.get(table, (*self.measured, *self.trained))
        if key == "step" and table in ("gradients", "activations"):
            return self.steps
        return None


def plan(layers: Sequence[Layer], conditions: Conditions) -> Iterator[Plan]:
    """Yield what every cell will do."""
    for point, seeds, given in resolved(layers, conditions):
        value = values_of(given)
        reference = value["measure.reference"]
        measured = (reference, *value["measure.strategies"])
        trains = value["train.strategies"]
        trained = measured if trains == "all" else (reference,) if trains == "none" else (reference, *trains)
        yield Plan(point, seeds, measured, trained, tuple(value["measure.at"]))


def resolved(
    layers: Sequence[Layer], conditions: Conditions
) -> Iterator[tuple[dict[str, Any], tuple[int, ...], dict[str, Given]]]:
    """Yield every point and the seeds that share its settings, with these settings and their places."""
    given = stack(layers)
    seeds = range(given["seeds"].value if "seeds" in given else Case.model_fields["seeds"].default)
    for point in points(matrix_of(given)):
        decided = {
            setting_of(axis): Given(value, len(layers), given[f"{MATRIX}{axis}"].place) for axis, value in point.items()
        }
        for some, overriding in conditions.at(point, seeds):
            here = {**given, **decided}
            for layer in overriding:
                here |= {key: one._replace(rank=len(layers) + 1) for key, one in stack([layer]).items()}
            yield point, some, here


def values_of(given: Mapping[str, Given]) -> dict[str, Any]:
    """Every setting: the given value, else its default, which may be the model's or the data set's own."""
    values = {key: one.value for key, one in given.items()}
    names = (values.get(name, DEFAULTS[name]) for name in ("model.name", "data.name"))
    return {**defaults_of(*names), **values}
