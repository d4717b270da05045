"""SNR of rebuilt activations against planted errors whose ratio is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from gradbench.case.schema import Model
from gradbench.invertible import Chain, InvertibleLeakyReLU
from gradbench.measure.activations import decibel, measure_activations
from gradbench.models.build import build
from gradbench.strategies.reconstruct import Reconstruct
from gradbench.strategies.stored import Stored


class Faulty(nn.Module):
    """The identity, whose inverse is off by a known share of every value."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight

    def inverse(self, y: Tensor) -> Tensor:
        return y / self.weight * (1 + self.share)


class Net(nn.Module):
    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.chain = Chain(*parts)
        self.head = nn.Linear(3 * 16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.chain(x).flatten(1))


def batch() -> tuple[Tensor, Tensor]:
    return torch.randn(8, 3, 4, 4, dtype=torch.float64), torch.randint(10, (8,))


def test_planted_errors_have_their_snr_and_alpha() -> None:
    net = Net(Faulty(1e-2), InvertibleLeakyReLU(0.5), Faulty(1e-3)).double()
    found = measure_activations(net, Stored(), Reconstruct(), batch())
    assert [r.position for r in found] == [0, 1, 2]
    first, act, last = found
    assert last.snr == pytest.approx(1e6, rel=1e-9)
    assert last.alpha == 0  # rebuilt from an exact output
    assert act.snr == pytest.approx(1e6, rel=1e-9)  # a common factor passes the activation unchanged
    assert act.alpha == pytest.approx(1, rel=1e-9)
    assert act.flipped_gates == 0
    assert first.snr == pytest.approx(1 / (1.001 * 1.01 - 1) ** 2, rel=1e-9)
    assert math.isnan(first.flipped_gates)


def test_flipped_gates_are_counted() -> None:
    class Negates(Faulty):
        def inverse(self, y: Tensor) -> Tensor:
            x = y / self.weight
            x[:2] = -x[:2]
            return x

    net = Net(InvertibleLeakyReLU(0.5), Negates(0.0)).double()
    act = measure_activations(net, Stored(), Reconstruct(), batch())[0]
    assert act.flipped_gates == 0.25


def test_every_layer_of_the_models_is_rebuilt_and_the_model_is_left_alone() -> None:
    for name in ("layerwise", "hybrid"):
        model = build(Model(name=name, depth=3, width=8), classes=10, image_size=16).double()
        state = {key: value.clone() for key, value in model.state_dict().items()}
        x = torch.randn(4, 3, 16, 16, dtype=torch.float64)
        found = measure_activations(model, Stored(), Reconstruct(), (x, torch.arange(4)))
        kinds = {r.kind for r in found}
        assert {"norm", "activation", "convolution", "pooling"} <= kinds
        assert all(r.snr > 1e15 for r in found)
        assert {r.block for r in found if r.block < 0} == {-1}
        assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_the_layerwise_chain_loses_what_the_leaky_inverse_costs() -> None:
    """Activation by activation, alpha is near 4 s^2 / (1 + s^2)^2 for symmetric inputs: far from one, and repeated."""
    torch.manual_seed(0)
    model = build(Model(name="layerwise", depth=5, width=16, negative_slope=0.2), classes=10, image_size=16)
    found = measure_activations(model, Stored(), Reconstruct(), (torch.randn(64, 3, 16, 16), torch.arange(64) % 10))
    alphas = [r.alpha for r in found if r.kind == "activation" and math.isfinite(r.snr)][:-1]
    assert len(alphas) >= 3
    for alpha in alphas:
        assert alpha == pytest.approx(4 * 0.04 / 1.04**2, rel=0.5)


def test_decibel_keeps_infinities() -> None:
    assert decibel(100) == 20
    assert decibel(math.inf) == math.inf
    assert decibel(0) == -math.inf
    assert math.isnan(decibel(math.nan))


@pytest.mark.parametrize("error", [math.inf, math.nan])
def test_errors_without_a_number_are_results(error: float) -> None:
    class Overflows(Faulty):
        def inverse(self, y: Tensor) -> Tensor:
            return y * error

    net = Net(Faulty(0.0), Overflows(0.0), Faulty(0.0)).double()
    found = measure_activations(net, Stored(), Reconstruct(), batch())
    assert found[2].snr == math.inf
    assert not found[1].snr > 0
    assert not found[0].snr > 0
    assert math.isnan(found[0].alpha)
