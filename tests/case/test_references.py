"""A source's values are a curve along an axis or a level of a quantity, and every mistake in them is said."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from gradbench.case.load import load
from gradbench.case.schema import Case
from gradbench.case.write import dumps
from gradbench.errors import CaseError

Write = Callable[[str], Path]

MATRIX = 'matrix = { model = ["hybrid"], depth = [3, 5] }\n'
HEAD = '[[reference]]\nname = "r"\nlabel = "A et al., Figure 1"\nsource = "read off"\n'
SNR = 'value = { table = "activations", column = "snr_db", within = "min", where = { model = "hybrid" } }\n'


def test_a_curve_and_a_level_are_read_and_written(write: Write) -> None:
    level = HEAD.replace('"r"', '"level"') + SNR + "level = 1e9\n"
    case = load(write(MATRIX + HEAD + SNR + 'along = "depth"\npoints = [[3, 80], [4, 79.5]]\n' + level))
    curve, flat = case.reference
    assert curve.points == ((3.0, 80.0), (4.0, 79.5))
    assert (flat.level, flat.points) == (1e9, None)
    assert Case.model_validate(tomllib.loads(dumps(case))) == case


def test_a_curve_may_lie_along_the_layers(write: Write) -> None:
    (curve,) = load(write(MATRIX + HEAD + SNR + 'along = "position"\npoints = [[0, 80], [7, 79.5]]\n')).reference
    assert curve.along == "position"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (SNR, "4: reference[0]: must have along and points, which are a curve, or a level"),
        (SNR + 'along = "depth"\n', "must have along and points, which are a curve, or a level"),
        (SNR + 'along = "depth"\npoints = [[3, 1], [4, 2]]\nlevel = 3.0\n', "or a level, and nothing of the other"),
        (SNR + 'along = "depht"\npoints = [[3, 1], [4, 2]]\n', 'unknown axis "depht": allowed are depth, model; did'),
        (
            SNR.replace("activations", "cells").replace("snr_db", "min_snr_db")
            + 'along = "position"\npoints = [[0, 1], [1, 2]]\n',
            "reference[0].along: position is a column of activations: of cells an axis is allowed",
        ),
        (SNR + 'along = "model"\npoints = [[3, 1], [4, 2]]\n', 'axis "model" holds words'),
        (
            SNR + 'along = "depth"\npoints = [[4, 1], [3, 2]]\n',
            "points: must be two or more, rising along depth, got [4.0, 3.0]",
        ),
        (SNR + 'along = "depth"\npoints = [[4, 1], [4, 2]]\n', "rising along depth, got [4.0, 4.0]"),
        (SNR + 'along = "depth"\npoints = [[4, 1]]\n', "points: must be two or more"),
        (SNR + 'along = "depth"\npoints = [[4, "x"], [5, 2]]\n', 'points[0][1]: must be a number, got "x"'),
        (SNR + "level = inf\n", "level: must be a finite number, got inf"),
        (SNR.replace('"min"', '"min", slope_over = "depth"') + "level = 1.0\n", "slope_over: is for claims"),
        (SNR.replace("snr_db", "snr_bd") + "level = 1.0\n", "did you mean 'snr_db'?"),
        (SNR.replace('"hybrid"', '"hybrd"') + "level = 1.0\n", 'no profile has "hybrd"'),
        (SNR + "level = 1.0\n" + HEAD + SNR + "level = 1.0\n", '"r" names two references: once is allowed'),
    ],
)
def test_mistakes(write: Write, text: str, sentence: str) -> None:
    with pytest.raises(CaseError) as caught:
        load(write(MATRIX + HEAD + text))
    (line,) = caught.value.lines
    assert sentence in line
