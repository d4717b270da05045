"""How settings are named: `train.steps`, in nested tables, dotted or quoted alike, and the axes that stand for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from gradbench.case.schema import Data, Model, Settings
from gradbench.errors import did_you_mean
from gradbench.results import TABLES

__all__ = ["DEFAULTS", "axis_problem", "defaults_of", "flatten", "nest", "setting_of"]


def flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value of a table with its dotted key; an empty table is a value.

    >>> dict(flatten({"train": {"steps": 40}, "model.depth": 3}))
    {'train.steps': 40, 'model.depth': 3}
    """
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def nest(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Undo `flatten`; where one key lies inside another (`a` and `a.b`) the later one wins.

    >>> nest({"train.steps": 40, "seeds": 2})
    {'train': {'steps': 40}, 'seeds': 2}
    """
    tables: dict[str, Any] = {}
    for key, value in entries.items():
        *parents, name = key.split(".")
        table = tables
        for parent in parents:
            if not isinstance(table.get(parent), dict):
                table[parent] = {}
            table = table[parent]
        table[name] = value
    return tables


@cache
def defaults_of(model: str, data: str) -> Mapping[str, Any]:
    """Return every setting by its dotted key, with its default beside this model and this data set."""
    return dict(flatten(Settings(model=Model(name=model), data=Data(name=data)).model_dump()))


#: What an axis, which is a column of every table, cannot be called.
_COLUMNS = frozenset(column.name for table in TABLES.values() for column in table.columns)
#: Every setting by its dotted key, with its default.
DEFAULTS: Mapping[str, Any] = defaults_of(Model().name, Data().name)


def _meant_by(axis: str) -> list[str]:
    """The settings that an axis may stand for."""
    if axis in DEFAULTS:
        return [axis]
    if f"{axis}.name" in DEFAULTS:
        return [f"{axis}.name"]
    return [key for key in DEFAULTS if key.partition(".")[2] == axis]


@cache
def setting_of(axis: str) -> str:
    """Return the setting that an axis of the matrix stands for.

    An axis is a setting's dotted key, its last part where that is unique, or `model` and `data` for their names.

    >>> setting_of("depth"), setting_of("model"), setting_of("train.momentum")
    ('model.depth', 'model.name', 'train.momentum')

    Raises:
        KeyError: no setting, or more than one (see `axis_problem`).
    """
    meant = _meant_by(axis)
    if len(meant) != 1:
        raise KeyError(axis)
    return meant[0]


def axis_problem(axis: str) -> str | None:
    """Return in one sentence why `axis` cannot be an axis of a matrix, or None."""
    meant = _meant_by(axis)
    if len(meant) == 1 and axis in _COLUMNS:
        return f"{axis!r} is a column of the results as well: write {meant[0]}"
    if len(meant) == 1:
        return None
    if meant:
        return f"{axis!r} names more than one setting: allowed are {' and '.join(meant)}"
    near = did_you_mean(axis, [key.partition(".")[2] for key in DEFAULTS]) or did_you_mean(axis, DEFAULTS)
    return f"names no setting: an axis is a setting such as depth, model or train.learning_rate{near}"
