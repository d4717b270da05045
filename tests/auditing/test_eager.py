"""A compiled model is audited without torch.compile, says so, and is compiled again afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradbench
from gradbench.strategies.forward import forward_replaced

pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # of dynamo


class Nothing:
    name = "nothing"

    def applied_to(self, model: nn.Module) -> nullcontext[None]:
        return nullcontext()


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


class Network(nn.Module):
    """Two blocks and a head, whose `compile()` compiles, which that of a plain sequence does not."""

    def __init__(self) -> None:
        super().__init__()
        blocks = [nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Dropout(0.3)) for _ in range(2)]
        self.blocks = nn.Sequential(*blocks, nn.Linear(6, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x)


def as_a_whole(model: Network, backend: Callable[..., Any]) -> nn.Module:
    return torch.compile(model, backend=backend)


def in_part(model: Network, backend: Callable[..., Any]) -> nn.Module:
    model.blocks[1] = torch.compile(model.blocks[1], backend=backend)
    return model


def in_place(model: Network, backend: Callable[..., Any]) -> nn.Module:
    model.compile(backend=backend)
    return model


@pytest.mark.parametrize("compiled", [as_a_whole, in_part, in_place])
def test_a_compiled_model_with_dropout_is_measured_as_it_is_without(compiled: Callable[..., nn.Module]) -> None:
    calls = []

    def backend(module: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., object]:
        """Other random numbers than eager code, as inductor's."""

        def run(*given: Tensor) -> object:
            calls.append(1)
            torch.rand(1)
            return module(*given)

        return run

    plain = Network()
    given = [(torch.randn(8, 6), torch.randint(3, (8,))) for _ in range(8)]
    chosen = ["checkpoint", Nothing(), "saved-cast:bf16"]
    expected = gradbench.audit(plain, F.cross_entropy, given, chosen, cost=False)
    model = compiled(plain, backend)
    model(given[0][0])
    assert len(calls) == 1
    found = gradbench.audit(model, F.cross_entropy, given, chosen, cost_repeats=1)
    assert found.explain("nothing").guilty == ""
    assert len(calls) == 1
    assert found.verdicts == expected.verdicts
    assert found.verdicts["nothing"] == "exact"
    assert found.faults.empty
    assert list(found.gradients["rel_error"]) == list(expected.gradients["rel_error"])
    assert "stored: the model is compiled: it is measured without torch.compile" in str(found)
    assert "torch.compile" not in str(expected)
    model(given[0][0])
    assert len(calls) == 2


def test_what_a_strategy_compiles_of_a_compiled_model_is_compiled() -> None:
    graphs = []

    def backend(module: torch.fx.GraphModule, inputs: list[Tensor]) -> torch.fx.GraphModule:
        graphs.append(1)
        return module

    class Compiles(Nothing):
        name = "compiles"

        def applied_to(self, model: nn.Module) -> Any:
            return forward_replaced(model, torch.compile(model.forward, backend=backend))

    model = torch.compile(Network(), backend="eager")
    given = [(torch.randn(8, 6), torch.randint(3, (8,))) for _ in range(2)]
    gradbench.audit(model, F.cross_entropy, given, [Compiles()], cost=False)
    assert graphs
