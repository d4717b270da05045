"""The assertion for a user's own tests, and the plugin that brings it as a fixture."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gradbench.errors import UsageError
from gradbench.faulty.methods import TorchCheckpoint
from gradbench.testing import assert_gradient_fidelity
from tests.auditing.methods import TURNED

pytest_plugins = ["pytester"]


def network() -> nn.Module:
    blocks = [nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.ReLU()) for _ in range(2)]
    return nn.Sequential(*blocks, nn.Linear(6, 3))


def batches(count: int = 8) -> list[tuple[Tensor, Tensor]]:
    return [(torch.randn(16, 6), torch.randint(3, (16,))) for _ in range(count)]


def test_what_is_right_passes_and_the_audit_is_given() -> None:
    assert assert_gradient_fidelity(network(), batches(), "checkpoint", verdict="exact").verdicts == {
        "checkpoint": "exact"
    }


def test_the_message_names_the_worst_layers_with_their_numbers() -> None:
    with pytest.raises(AssertionError) as caught:
        assert_gradient_fidelity(network(), batches(), "saved-cast:fp8", verdict="exact")
    first, count, *layers = str(caught.value).splitlines()
    assert first.startswith("saved-cast:fp8 is ")
    assert first.endswith("wanted exact or better")
    assert count == "gradients: 3 of 3 weight tensors are worse than exact; the worst:"
    assert {line.split(":")[0].strip() for line in layers} == {"0.0.weight", "1.0.weight", "2.weight"}
    assert all("noise ratio" in line and "relative error" in line for line in layers)


def test_norms_and_biases_are_judged_where_all_parameters_are() -> None:
    assert_gradient_fidelity(network(), batches(), TURNED, verdict="exact")
    assert_gradient_fidelity(network(), batches(), "checkpoint", verdict="exact", parameters="all")
    with pytest.raises(AssertionError) as caught:
        assert_gradient_fidelity(network(), batches(), TURNED, parameters="all")
    first, count, worst, *_ = str(caught.value).splitlines()
    assert first == "turned is harmful, wanted below-noise or better"
    assert count == "gradients: 1 of 10 parameters are worse than below-noise; the worst:"
    assert worst.startswith("  0.1.weight: harmful, noise ratio ")


def test_a_fault_of_the_state_fails_where_every_gradient_is_exact() -> None:
    with pytest.raises(AssertionError, match=r"is exact, wanted below-noise.*\nbuffers: 0\.1\.running_mean"):
        assert_gradient_fidelity(network(), batches(), TorchCheckpoint())


def test_what_does_not_apply_fails_with_the_reason() -> None:
    with pytest.raises(AssertionError, match=r"reconstruct was not measured \(excluded\): .* no invertible chain"):
        assert_gradient_fidelity(network(), batches(), "reconstruct")


def test_an_unknown_verdict_is_refused() -> None:
    with pytest.raises(UsageError, match="verdict 'exakt': allowed are exact, .*did you mean 'exact'"):
        assert_gradient_fidelity(network(), batches(), "checkpoint", verdict="exakt")


def test_the_fixture_is_there_in_a_project_that_loads_the_plugin(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # where gradbench is installed, it would be loaded twice
    pytester.makepyfile(
        """
        import torch
        from torch import nn

        def test_mine(gradient_fidelity):
            model = nn.Sequential(nn.Sequential(nn.Linear(4, 4)), nn.Linear(4, 2))
            batches = [(torch.randn(5, 4), torch.randint(2, (5,))) for _ in range(2)]
            gradient_fidelity(model, batches, "checkpoint")

        def test_spoilt(gradient_fidelity):
            model = nn.Sequential(nn.Sequential(nn.Linear(4, 4)), nn.Linear(4, 2))
            batches = [(torch.randn(5, 4), torch.randint(2, (5,))) for _ in range(2)]
            gradient_fidelity(model, batches, "saved-cast:fp8", verdict="exact")
        """
    )
    result = pytester.runpytest("-p", "gradbench.testing.plugin", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*AssertionError: saved-cast:fp8 is *"])


def test_the_plugin_imports_little() -> None:
    code = "import sys, gradbench.testing.plugin; print([m for m in ('torch', 'pandas', 'numpy') if m in sys.modules])"
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, check=True, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert found.stdout == "[]\n"
