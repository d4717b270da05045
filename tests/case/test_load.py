"""What a case file says is what the case says, by whichever way the keys are written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gradbench.case.find import shipped
from gradbench.case.load import load, load_profiles
from gradbench.case.schema import Settings
from gradbench.errors import CaseError

Write = Callable[[str], Path]


def test_an_empty_case_has_the_defaults(write: Write) -> None:
    case = load(write(""))
    assert Settings.model_validate(case.model_dump(include=set(Settings.model_fields))) == Settings()
    assert case.matrix == {}


@pytest.mark.parametrize(
    "text",
    [
        "[train]\nsteps = 7\n[matrix]\n'train.momentum' = [0.5]",
        "train.steps = 7\nmatrix.train.momentum = [0.5]",
        "'train.steps' = 7\n[matrix.train]\nmomentum = [0.5]",
        "[profile.p]\n'train.steps' = 7\n'matrix.train.momentum' = [0.5]",
        "[profile.p.train]\nsteps = 7\n[profile.p.matrix]\ntrain.momentum = [0.5]",
        "profile = { p = { train = { steps = 7 }, matrix = { 'train.momentum' = [0.5] } } }",
    ],
)
def test_nested_dotted_and_quoted_keys_are_the_same(write: Write, text: str) -> None:
    case = load(write(text), "p" if "profile" in text else None)
    assert case.train.steps == 7
    assert case.matrix == {"train.momentum": [0.5]}


def test_later_layers_win(write: Write) -> None:
    path = write("[train]\nsteps = 1\nmomentum = 0.1\nwarmup = 0.3\n[profile.p]\ntrain = { steps = 2, momentum = 0.2 }")
    train = load(path, "p", ["train.steps=3", "train.steps=4"]).train
    assert (train.steps, train.momentum, train.warmup) == (4, 0.2, 0.3)
    assert load(path).train.steps == 1


def test_a_set_value_is_toml_or_else_a_string(write: Write) -> None:
    sets = ["model.width=16", "data.flip=true", "data.name=npz", "data.path=some file.npz", "matrix.depth=[3, 5]"]
    case = load(write(""), None, sets)
    assert (case.model.width, case.data.flip, case.data.name, case.data.path) == (16, True, "npz", "some file.npz")
    assert case.matrix == {"depth": [3, 5]}


def test_a_set_value_cannot_smuggle_in_a_key(write: Write) -> None:
    case = load(write(""), None, ["data.path=1\nseeds = 9"])
    assert case.data.path == "1\nseeds = 9"
    assert case.seeds == load(write("")).seeds


def test_stored_may_be_listed_and_changes_nothing(write: Write) -> None:
    listed = load(write('[measure]\nstrategies = ["checkpoint", "stored"]'))
    assert listed.measure == load(write('[measure]\nstrategies = ["checkpoint"]')).measure


def test_a_quick_claim_may_be_out_of_one_profiles_reach(write: Write) -> None:
    claim = """
    [[claim]]
    name = "c"
    says = "x"
    test = ">= 1"
    value = { table = "cells", column = "rel_error", where = { depth = 20, strategy = "reconstruct" } }
    """
    path = write(f"[matrix]\ndepth = [3, 20]\n{claim}\n[profile.quick]\nmatrix.depth = [3]")
    assert load(path, "quick").claim[0].value.where == {"depth": 20, "strategy": "reconstruct"}


@pytest.mark.parametrize("name", shipped())
def test_every_profile_of_a_shipped_case_can_be_read(name: str) -> None:
    profiles = load_profiles(shipped()[name])
    assert profiles
    for profile, case in profiles.items():
        assert load(shipped()[name], profile) == case


def test_a_file_that_cannot_be_read_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.toml")


@pytest.mark.parametrize("text", ["[modle]", "[train]\nsteps = 'x'"])
def test_profiles_are_not_returned_beside_mistakes(write: Write, text: str) -> None:
    with pytest.raises(CaseError):
        load_profiles(write(text))
