"""`gradbench list` shows every name that can be used."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import Result

from gradbench.case.find import shipped
from gradbench.data import DATASETS
from gradbench.models import MODELS
from gradbench.registry import Registry
from gradbench.strategies import STRATEGIES

Call = Callable[..., Result]


@pytest.mark.parametrize("arguments", [["list"], ["list", "cases"]])
def test_cases(call: Call, arguments: list[str]) -> None:
    result = call(*arguments)
    assert result.exit_code == 0
    header, *rows = result.stdout.splitlines()
    assert header.split() == ["name", "title", "profiles", "tags"]
    assert [row.split()[0] for row in rows] == list(shipped())
    assert all("quick, full" in row for row in rows if row.startswith("hybrid-depth-sweep "))


def test_cases_as_json(call: Call) -> None:
    rows = {row["name"]: row for row in json.loads(call("list", "--json").stdout)}
    assert list(rows) == list(shipped())
    assert rows["hybrid-depth-sweep"]["profiles"] == ["quick", "full"]


@pytest.mark.parametrize(("what", "registry"), [("strategies", STRATEGIES), ("models", MODELS), ("data", DATASETS)])
def test_registries(call: Call, what: str, registry: Registry) -> None:
    rows = json.loads(call("list", what, "--json").stdout)
    assert [row["name"] for row in rows] == [entry.spelled(name) for name, entry in registry.items()]
    assert [row["summary"] for row in rows] == [entry.summary for entry in registry.values()]
    assert [bool(row["K"]) for row in rows] == [bool(entry.argument) for entry in registry.values()]
    lines = call("list", what).stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [row["name"] for row in rows]
    assert {line.index(row["summary"]) for line, row in zip(lines[1:], rows, strict=True)} == {
        lines[0].index("summary")
    }


def test_anything_else_is_bad_usage(call: Call) -> None:
    assert call("list", "strategy").exit_code == 2
