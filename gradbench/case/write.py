"""A resolved case as the TOML text that says the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from gradbench.case.keys import setting_of
from gradbench.case.schema import Case, Settings

__all__ = ["dumps"]

_LISTS = ("exclude", "override", "claim", "reference", "difference")


def dumps(case: Case) -> str:
    """Return the case with every setting spelled out and without profiles, which it has already absorbed.

    Where the matrix names models or data sets, what the case leaves to each of them stays left out.
    """
    return "\n".join(_lines(case))


def _lines(case: Case) -> Iterator[str]:
    parts = case.model_dump(by_alias=True, exclude_none=True, exclude={"profile", *_LISTS})
    for name in ("model", "data"):
        if f"{name}.name" in map(setting_of, case.matrix):
            parts[name] = getattr(case, name).model_dump(exclude_unset=True)
    tables = {name: parts.pop(name) for name in (*Settings.model_fields, "matrix")}
    for name in ("schema", "title", *parts):
        if name in parts:
            yield _assignment(name, parts.pop(name))
    for name, table in tables.items():
        yield from ("", f"[{name}]", *(_assignment(key, value) for key, value in table.items()))
    for name in _LISTS:
        for item in getattr(case, name):
            table = item.model_dump(exclude_unset=True, exclude_none=True)
            yield from ("", f"[[{name}]]", *(_assignment(key, value) for key, value in table.items()))


def _assignment(key: str, value: Any) -> str:
    return f"{key if re.fullmatch(r'[A-Za-z0-9_-]+', key) else json.dumps(key)} = {_value(value)}"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{ {', '.join(_assignment(key, inner) for key, inner in value.items())} }}" if value else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False)
