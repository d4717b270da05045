"""Compiled within a budget: the gradients of stored training up to rounding, and fewer tensors saved."""

from __future__ import annotations

import copy
import shutil

import pytest
import torch
from torch import Tensor, nn

from gradbench.strategies import STRATEGIES
from gradbench.strategies.compile import Compile


def network() -> nn.Module:
    layers = [nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8), nn.Sigmoid(), nn.Linear(8, 3)]
    return nn.Sequential(*layers).double()


def gradients(model: nn.Module, x: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(model(x).square().sum(), list(model.parameters())))


def test_a_smaller_budget_saves_fewer_tensors_for_the_same_gradients() -> None:
    """Planned as for inductor, and run without generated code. One object compiles once, another anew."""
    torch._dynamo.reset()
    model, x = network(), torch.randn(16, 8, dtype=torch.float64)
    stored = gradients(model, x)
    kept = []
    for budget in (0.0, 0.5, 1.0):
        strategy = Compile(budget, backend="aot_eager_decomp_partition")
        for _ in range(2):
            before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
            with strategy.applied_to(model):
                output = model(x)
                kept.append(sum(tensor.numel() for tensor in output.grad_fn.saved_tensors))
                torch.testing.assert_close(gradients(model, x), stored, rtol=1e-12, atol=1e-12)
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == before
    assert kept[0] == kept[1] < kept[2] == kept[3] < kept[4] == kept[5]
    assert "forward" not in vars(model)


# torch warns of its own parts while it compiles.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_generated_code_gives_the_gradients_and_buffers_of_stored_training() -> None:
    torch._dynamo.reset()
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)).double()
    strategy = STRATEGIES.create("compile:0.5")
    if reason := strategy.applies_to(model):
        pytest.skip(reason)
    twin, x = copy.deepcopy(model), torch.randn(16, 8, dtype=torch.float64)
    with strategy.applied_to(model):
        found = gradients(model, x)
    torch.testing.assert_close(found, gradients(twin, x), rtol=1e-9, atol=1e-9)
    for mine, other in zip(model.buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(mine, other)


def test_without_a_compiler_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    reason = STRATEGIES.create("compile:0.5").applies_to(network())
    language, compiler = ("C++", "g++") if torch.get_default_device().type == "cpu" else ("C", "gcc")
    assert reason == f"torch.compile needs a {language} compiler, such as {compiler}, and there is none"
