"""`gradbench audit`: a model that a function builds, images or minibatches by name, a table, a report, an exit code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from gradbench.cli.main import cli
from gradbench.errors import EXIT

MODULE = """
import torch
from torch import nn

def build():
    block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    return nn.Sequential(block, nn.Flatten(), nn.Linear(144, 3))

def with_loss():
    return nn.Sequential(nn.Sequential(nn.Linear(4, 4)), nn.Linear(4, 2)), nn.functional.mse_loss

def batches():
    return [(torch.randn(5, 4), torch.randn(5, 2)) for _ in range(3)]

def raising():
    raise KeyError("weights")

number = 3
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a module and images of a user."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    monkeypatch.delitem(__import__("sys").modules, "mine_to_audit", raising=False)
    (tmp_path / "mine_to_audit.py").write_text(MODULE)
    (tmp_path / "divides_by_zero.py").write_text("1 / 0")
    (tmp_path / "exits.py").write_text("raise SystemExit(3)")
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (64, 8, 8, 3), dtype=np.uint8)
    y = random.integers(0, 3, 64)
    np.savez(tmp_path / "images.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    return tmp_path


def call(*words: str) -> Result:
    return CliRunner().invoke(cli, ["audit", *words])


IMAGES = ("mine_to_audit:build", "--data", "npz:images.npz", "--batch-size", "8", "--minibatches", "4")


def test_a_right_method_ends_well_and_leaves_a_report(here: Path) -> None:
    result = call(*IMAGES, "--strategy", "checkpoint", "--strategy", "reconstruct", "--report", "x.html", "--explain")
    assert result.exit_code == EXIT.OK, result.output
    assert "report: x.html" in result.stdout
    assert "No layer is to blame" in result.stdout
    assert "reconstruct: Sequential has no invertible chain" in result.stdout
    assert "Audit of mine_to_audit:build" in (here / "x.html").read_text()


def test_a_fault_ends_with_1() -> None:
    result = call(*IMAGES, "--strategy", "torch-checkpoint")
    assert result.exit_code == EXIT.FAILED
    assert "torch-checkpoint: buffers: 0.1.running_mean, " in result.stdout


def test_minibatches_and_loss_may_be_functions() -> None:
    result = call("mine_to_audit:with_loss", "--data", "mine_to_audit:batches", "--strategy", "checkpoint")
    assert result.exit_code == EXIT.OK, result.output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("mine_to_audit", "--data", "digits"), "model 'mine_to_audit': it is spelled package.module:function"),
        (("mine_to_audit:biuld", "--data", "digits"), "mine_to_audit has no 'biuld'; did you mean 'build'?"),
        (("mine_to_audit:number", "--data", "digits"), "model 'mine_to_audit:number': int cannot be called"),
        (("mine_to_audit:batches", "--data", "digits"), "it must return a model, or a model and a loss, got list"),
        (("mine_to_audit:raising", "--data", "digits"), "it raises KeyError: 'weights' (mine_to_audit.py:16)"),
        (("nowhere:build", "--data", "digits"), "nowhere cannot be imported (No module named 'nowhere')"),
        (("divides_by_zero:build", "--data", "digits"), "divides_by_zero raises ZeroDivisionError: division by zero"),
        (("exits:build", "--data", "digits"), "model 'exits:build': exits exits where it is imported"),
        (("mine_to_audit:build", "--data", "mine_to_audit:number"), "--data 'mine_to_audit:number': int cannot be"),
        (
            ("mine_to_audit:build", "--data", "mine_to_audit:raising"),
            "it raises KeyError: 'weights' (mine_to_audit.py:16)",
        ),
        (("mine_to_audit:build", "--data", "digit"), "--data digit: allowed are digits, "),
        (("mine_to_audit:build", "--data", "npz:no.npz"), "there is no file 'no.npz'"),
        ((*IMAGES, "--device", "meta"), "model: it is on the device meta, which holds no numbers"),
        ((*IMAGES[:-1], "9"), "gives at most 8 minibatches of 8"),
    ],
)
def test_a_mistake_is_one_sentence(words: tuple[str, ...], sentence: str) -> None:
    result = call(*words, "--strategy", "checkpoint")
    assert result.exit_code == EXIT.USAGE
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1
