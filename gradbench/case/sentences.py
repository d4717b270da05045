"""What pydantic finds wrong, said to a user: what is expected, what is allowed, and the nearest name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from gradbench.case.keys import DEFAULTS
from gradbench.case.mistakes import Mistake, listed, toml
from gradbench.case.positions import Place
from gradbench.case.schema import Case
from gradbench.errors import did_you_mean

__all__ = ["mistakes_in"]


def mistakes_in(error: ValidationError, model: type[BaseModel], value: Mapping[str, Any], base: Place) -> list[Mistake]:
    """Translate pydantic's errors about `value`, which stands at `base`: one mistake a place."""
    by_place: dict[Place, list[Any]] = {}
    for problem in error.errors(include_url=False):
        if problem["type"] == "default_factory_not_called":
            continue  # a default waits for another entry, whose own mistake is here too
        by_place.setdefault(_clean(problem, value), []).append(problem)
    found = []
    misspelt = {  # for `titel`, that `title` is missing goes without saying
        (*place[:-1], name)
        for place, problems in by_place.items()
        if problems[0]["type"] == "extra_forbidden"
        for name in _names(_model_at(model, place[:-1]))
        if did_you_mean(str(place[-1]), [name])
    }
    for place, problems in by_place.items():
        if place in misspelt and problems[0]["type"] == "missing":
            continue
        if any(other[: len(place)] == place and other != place for other in by_place):
            continue  # the other branch of "a word or a list": the mistakes inside the list say more
        index = problems[0].get("ctx", {}).get("index")
        full = (*base, *place) if index is None else (*base, *place, index)
        found.append(Mistake(full, _sentence(problems, place, model)))
    return found


def _clean(problem: Any, value: Any) -> Place:
    """Drop from pydantic's location what is not a step into `value`: the names of the branches of a union."""
    place: list[str | int] = []
    for step in problem["loc"]:
        if isinstance(value, Mapping) and (step in value or problem["type"] == "missing"):
            value = value.get(step)
        elif isinstance(value, (list, tuple)) and isinstance(step, int):
            value = value[step]
        else:
            continue
        place.append(step)
    return tuple(place)


_EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "a string",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "greater_than": "above {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "below {lt:g}",
    "less_than_equal": "at most {le:g}",
    "multiple_of": "a multiple of {multiple_of:g}",
    "literal_error": "{expected}",
    "too_short": "a list or table that is not empty",
}
_PATTERNS = {"name": "made of a-z, 0-9 and hyphens", "test": 'a comparison with a number, such as ">= 40"'}


def _sentence(problems: list[Any], place: Place, model: type[BaseModel]) -> str:
    """What is wrong at one place; several problems are the branches of a union, each of which would be allowed."""
    first = problems[0]
    match first["type"]:
        case "extra_forbidden":
            return _unknown_key(str(place[-1]), _names(_model_at(model, place[:-1])))
        case "missing":
            return "is missing"
        case "unknown_name" | "listed_twice":
            return str(first["ctx"]["problem"])
    expected = [_expected(problem, place) for problem in problems]
    got = first["input"]
    near = did_you_mean(got, re.findall(r"'([^']*)'", " ".join(expected))) if isinstance(got, str) else ""
    return f"must be {' or '.join(dict.fromkeys(expected))}, got {toml(got)}{near}"


def _expected(problem: Any, place: Place) -> str:
    if problem["type"] == "string_pattern_mismatch":
        return _PATTERNS[str(place[-1])]
    if problem["type"] not in _EXPECTED:
        return str(problem["msg"])
    return _EXPECTED[problem["type"]].format(**problem.get("ctx", {}))


def _unknown_key(key: str, allowed: list[str]) -> str:
    if key in _names(Case) and key not in DEFAULTS:
        return f"cannot be changed here: allowed are {listed(allowed)}"
    elsewhere = next((full for full in DEFAULTS if full.partition(".")[2] == key), None)
    near = f"; did you mean {elsewhere!r}?" if elsewhere else did_you_mean(key, allowed)
    return f"unknown key: allowed are {listed(allowed)}{near}"


def _names(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_at(model: type[BaseModel], place: Place) -> type[BaseModel]:
    """The section that the steps of `place` lead to."""
    for step in place:
        if isinstance(step, str):
            model = _section(model.model_fields[step].annotation)
    return model


def _section(annotation: Any) -> type[BaseModel]:
    """The section in an annotation such as `Model`, `tuple[Claim, ...]` or `Quantity | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(_section(part) for part in annotation.__args__ if part not in (type(None), Ellipsis))
