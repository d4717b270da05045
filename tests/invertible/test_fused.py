"""Norm and activation in one step: plain operations on any device, kernels interpreted on the CPU and on a GPU."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.torch_version import TorchVersion

from gradbench.invertible import Chain, InvertibleBatchNorm, InvertibleLeakyReLU
from gradbench.invertible.fused import NormActivation, can_run, plain_operations
from tests.invertible.fused_cases import CASES, INTERPRETED, Case, check
from tests.invertible.oracle import same_as_stored, state

#: Of Triton up to 3.6, which comes with torch up to 2.11.
OLD_INTERPRETER = TorchVersion(torch.__version__) < (2, 12)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_plain_operations_give_the_float64_truth(case: Case) -> None:
    with plain_operations():
        check(case, NormActivation.rerun, NormActivation.backward_step)


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
@pytest.mark.skipif(OLD_INTERPRETER, reason="the interpreter of Triton up to 3.6 fails with NumPy 2.4 and later")
def test_interpreted_kernels_give_the_float64_truth() -> None:
    root = Path(__file__).parents[2]
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "tests.invertible.fused_cases"]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("is right") == len(INTERPRETED)


@pytest.mark.gpu
@pytest.mark.parametrize("case", CASES, ids=str)
def test_kernels_on_a_gpu_give_the_float64_truth(case: Case) -> None:
    assert can_run((torch.zeros(case.shape, dtype=case.dtype, device="cuda"),))
    check(case, NormActivation.rerun, NormActivation.backward_step, "cuda")


@pytest.mark.gpu
def test_float64_and_strided_groups_take_plain_operations() -> None:
    assert not can_run((torch.zeros(2, 4, 4, 4, dtype=torch.float64, device="cuda"),))
    assert not can_run((torch.zeros(2, 4, 4, 8, device="cuda")[..., ::2],))
    with plain_operations():
        assert not can_run((torch.zeros(2, 4, 4, 4, device="cuda"),))


def test_only_the_library_s_own_pair_is_one_step() -> None:
    class Louder(InvertibleLeakyReLU):
        """A user's activation."""

    norm, activation = InvertibleBatchNorm(4), InvertibleLeakyReLU(0.5)
    assert NormActivation.fits([norm, activation])
    assert not NormActivation.fits([activation, norm])
    assert not NormActivation.fits([norm, Louder(0.5)])
    assert not NormActivation.fits([norm])
    pairs = Chain(InvertibleLeakyReLU(0.5), norm, activation, InvertibleBatchNorm(4), Louder(0.5))
    nn.init.normal_(norm.weight)
    assert same_as_stored(pairs.double(), state(3, 2, 4, 4))


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
def test_kernels_compile_for_a_gpu_that_is_not_there() -> None:
    """The interpreter lets pass what the compiler refuses."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.invertible.compiled_kernels"]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "6 compiled" in done.stdout
