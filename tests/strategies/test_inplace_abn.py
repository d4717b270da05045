"""What in-place activated batch norm alone promises: its layers, what it keeps, and errors that stay local."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from gradbench.invertible import Chain, Invertible, InvertibleBatchNorm, InvertibleLeakyReLU, watch_rebuilt
from gradbench.measure.memory import step_memory
from gradbench.models import MODELS
from gradbench.strategies import STRATEGIES
from gradbench.strategies.inplace_abn import pairs
from tests.models.networks import images
from tests.strategies.subjects import relative, step, stored_and, subject

STRATEGY, STORED = STRATEGIES.create("inplace-abn"), STRATEGIES.create("stored")


def network(depth: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, 8, 3, padding=1, bias=False)]
    for _ in range(depth):
        layers += [InvertibleBatchNorm(8), InvertibleLeakyReLU(0.1), nn.Conv2d(8, 8, 3, padding=1, bias=False)]
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(8, 5))


def test_it_keeps_a_third() -> None:
    """Autograd keeps the inputs of norm, activation and convolution: of three states a layer one stays."""
    (x,) = images(16, dtype=torch.float32)
    one = 16 * 8 * 8 * 8 * 4

    def saved(depth: int, strategy: object) -> int:
        model = network(depth)
        with strategy.applied_to(model):  # type: ignore[attr-defined]
            return step_memory(model, (x,), lambda: model(x).square().sum()).saved

    statistics = 4 * (3 * 8 * 4)
    assert saved(6, STORED) - saved(2, STORED) == pytest.approx(3 * 4 * one, abs=2 * statistics)
    assert saved(6, STRATEGY) - saved(2, STRATEGY) == pytest.approx(4 * one, abs=2 * statistics)


@pytest.mark.parametrize("name", MODELS)
def test_every_norm_with_an_activation_right_behind_is_taken(name: str) -> None:
    model = subject(name, 3)
    norms = {key for key, module in model.named_modules() if isinstance(module, InvertibleBatchNorm)}
    taken = {id(norm) for norm, _ in pairs(model)}
    left = {key for key in norms if id(model.get_submodule(key)) not in taken}
    # Before the sum of a residual block, and at the end of its shortcut, there is none.
    assert left == {key for key in norms if name == "resnet" and ("shortcut" in key or key.endswith("residual.norm1"))}


def test_norms_that_are_used_twice_or_not_invertible_are_left_alone() -> None:
    norm, activation = InvertibleBatchNorm(4), InvertibleLeakyReLU(0.1)
    other = InvertibleBatchNorm(4)
    assert pairs(nn.Sequential(norm, activation, norm)) == []
    assert pairs(nn.Sequential(norm, activation, nn.Sequential(other, activation))) == []
    assert pairs(Chain(norm, activation)) == [(norm, activation)]
    assert pairs(nn.ModuleList([norm, activation])) == []
    ordinary = nn.Sequential(nn.BatchNorm2d(4), nn.LeakyReLU(0.1))
    assert STRATEGY.applies_to(ordinary) == (
        "Sequential has no invertible batch norm with an invertible activation right behind it"
    )


def test_a_users_activation_is_left_alone_and_still_acts() -> None:
    class Double(Invertible):
        kind = "activation"

        def forward(self, x: Tensor) -> Tensor:
            return 2 * x

        def inverse(self, y: Tensor) -> Tensor:
            return y / 2

    model, (x,) = nn.Sequential(*network(1)[:2], Double(), *network(2)[3:]).double(), images(4)
    stored = step(copy.deepcopy(model), STORED, x)
    assert len(pairs(model)) == 1
    assert relative(step(model, STRATEGY, x), stored) < 1e-9


def test_an_activation_shared_by_two_norms_still_acts() -> None:
    activation = InvertibleLeakyReLU(0.1)
    shared = [InvertibleBatchNorm(4), activation, nn.Conv2d(4, 4, 1, bias=False), InvertibleBatchNorm(4), activation]
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1, bias=False), *shared, nn.Conv2d(4, 8, 1, bias=False), *network(1)[1:]
    ).double()
    (x,) = images(4)
    stored = step(copy.deepcopy(model), STORED, x)
    assert len(pairs(model)) == 1
    assert relative(step(model, STRATEGY, x), stored) < 1e-9


def test_errors_stay_in_their_layer() -> None:
    """In float32, where reconstruction of the same 24 layers has lost its gradients."""
    torch.manual_seed(1)
    model, (x,) = subject("layerwise", 24, width=8), images(16, dtype=torch.float32)
    _, stored, found = stored_and(model, STRATEGY, x)
    assert relative(found, stored) < 0.02
    rebuilt = step(model, STRATEGIES.create("reconstruct"), x)
    assert not relative(rebuilt, stored) < 1


def test_rebuilt_activations_can_be_watched() -> None:
    model, (x,) = subject("hybrid", 2), images(4, dtype=torch.float32)
    seen: list[nn.Module] = []
    with watch_rebuilt(lambda module, x, y: seen.append(module)):
        step(model, STRATEGY, x)
    assert set(seen) == {part for pair in pairs(model) for part in pair}
    assert len(seen) == 2 * len(pairs(model))
