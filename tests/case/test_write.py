"""A case written out says the same."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from gradbench.case.find import shipped
from gradbench.case.load import load_profiles
from gradbench.case.schema import Case
from gradbench.case.write import dumps

Write = Callable[[str], Path]


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_case_survives(name: str) -> None:
    for case in load_profiles(shipped()[name]).values():
        again = Case.model_validate(tomllib.loads(dumps(case)))
        assert again == case.model_copy(update={"profile": {}})


def test_awkward_texts_and_keys_survive(write: Write) -> None:
    path = write(
        'question = "a \\"b\\" \\\\ \\n\\u0001 é"\n[profile.p]\nmatrix.train.momentum = [0, 1e-7]\ndata.path = "#x"'
    )
    case = load_profiles(path)["p"]
    again = Case.model_validate(tomllib.loads(dumps(case)))
    assert again == case.model_copy(update={"profile": {}})
    assert again.question == 'a "b" \\ \n\x01 é'


def test_conditions_survive(write: Write) -> None:
    conditions = "[[exclude]]\nwhen = { depth = 3, seed = [1, 2] }\n[[override]]\nwhen.depth = 3\nset.train.steps = 4"
    case = load_profiles(write(f"matrix.depth = [3, 4]\n{conditions}\n[profile.p]"))["p"]
    assert Case.model_validate(tomllib.loads(dumps(case))) == case.model_copy(update={"profile": {}})
    assert case.exclude[0].when == {"depth": 3, "seed": [1, 2]}
