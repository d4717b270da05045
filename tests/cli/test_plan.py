"""`gradbench plan`: the table, JSON, a function of one's own, and mistakes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from gradbench.errors import EXIT

Call = Callable[..., Result]
MODEL = """
from torch import nn

def build(depth=2):
    layers = [nn.Conv2d(3, 8, 3, padding=1)] + [nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())] * depth
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))

def wrong():
    return nn.Linear(7, 10)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "a_model_of_mine.py").write_text(MODEL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_function_of_ones_own_is_planned(call: Call, here: Path) -> None:
    arguments = ("--model", "a_model_of_mine:build", "--memory", "2MB", "--image", "8x16", "--device", "cpu")
    chosen = ("--strategy", "stored", "--strategy", "reconstruct", "--batch", 4)
    result = call("plan", *arguments, *chosen)
    assert result.exit_code == EXIT.OK, result.output
    assert "images of 8x16" in result.stdout
    assert "largest depth at batch 4" in result.stdout
    assert "reconstruct: Sequential has no invertible chain" in result.stdout
    stored, reconstruct = json.loads(call("plan", *arguments, *chosen, "--json").stdout)["rooms"]
    assert stored["largest_batch"] > 4
    assert stored["largest_depth"] > 2
    assert reconstruct["largest_batch"] is None
    found = f"batch {stored['largest_batch']:,}, depth {stored['largest_depth']:,}"
    assert re.search(rf"counting: stored done, 1 of 1, after \d+ s: {found}\n", result.stderr)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--model", "resnet18", "--memory", "much"), "'much' is no size: write 1GiB, 500MB or a number of bytes"),
        (
            ("--model", "resnet18", "--memory", "1GiB", "--image", "240"),
            "'240' is no image: write its height and width",
        ),
        (("--model", "resnet18", "--memory", "1GiB", "--image", "241x240"), "must be a multiple of 8"),
        (("--model", "resnet99", "--memory", "1GiB"), "unknown model 'resnet99': allowed are"),
        (("--model", "resnet18", "--memory", "1GiB", "--strategy", "stord"), "did you mean 'stored'?"),
        (("--model", "resnet18", "--memory", "1GiB", "--device", "gpu"), "allowed are auto, cpu, cuda, cuda:N"),
        (("--model", "a_model_of_mine:wrong", "--memory", "1GiB"), "a step on 2 images (3, 32x32) is not possible"),
        (("--model", "a_model_of_mine:absent", "--memory", "1GiB"), "has no 'absent'"),
    ],
)
def test_a_mistake_is_one_sentence(call: Call, here: Path, arguments: tuple[str, ...], sentence: str) -> None:
    result = call("plan", *arguments)
    assert result.exit_code == EXIT.USAGE
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
