"""The network of one layer: what enters the layer, which layer it is, and what undoing it costs by the source."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from gradbench.case.schema import Model
from gradbench.invertible import InvertibleBatchNorm, InvertibleLeakyReLU, InvertibleSmoothLeakyReLU, layers, storing
from gradbench.measure.activations import measure_activations
from gradbench.models.build import build
from gradbench.models.single_layer import SingleLayer
from gradbench.strategies.noisy_reconstruct import NoisyReconstruct
from gradbench.strategies.stored import Stored


def single(**settings: object) -> SingleLayer:
    return build(Model(name="single-layer", **settings), 10, 16).double()


def alpha(model: SingleLayer, deviation: float = 1e-5) -> float:
    torch.manual_seed(0)
    batch = torch.rand(32, 3, 16, 16, dtype=torch.float64), torch.arange(32) % 10
    return measure_activations(model, Stored(), NoisyReconstruct(deviation), batch)[0].alpha


def test_the_layers_inputs_are_centred_scaled_and_symmetric() -> None:
    model, seen = single(width=12), []
    model.chain.activation.register_forward_hook(lambda module, x, y: seen.append(torch.cat(x, 1)))
    with storing(model):
        model(torch.rand(8, 3, 16, 16, dtype=torch.float64))
    (x,) = seen
    assert x.shape == (8, 12, 16, 16)
    assert x.mean((0, 2, 3)).abs().max() < 1e-12
    assert (x.var((0, 2, 3), correction=0) - 1).abs().max() < 1e-2
    assert torch.equal(x[:, :6], -x[:, 6:])


def test_it_has_the_layer_that_is_asked_for_and_no_other() -> None:
    for settings, kind in (
        ({"layer_kind": "norm"}, InvertibleBatchNorm),
        ({"layer_kind": "activation"}, InvertibleLeakyReLU),
        ({"activation": "smooth"}, InvertibleSmoothLeakyReLU),
    ):
        (info,) = layers(single(**settings))
        assert type(info.module) is kind
    with pytest.raises(ValidationError, match="norm"):
        Model(layer_kind="convolution")


@pytest.mark.parametrize("slope", [0.01, 0.2, 1.0, 30.0])
def test_leaky_relu_keeps_what_equation_32_says(slope: float) -> None:
    model = single(negative_slope=slope)
    assert alpha(model) == pytest.approx(4 * slope**2 / (1 + slope**2) ** 2, rel=0.02)


@pytest.mark.parametrize("rho", [1.0, 3.0, 100.0])
def test_batch_norm_keeps_what_a_fifth_of_small_scales_leaves(rho: float) -> None:
    model = single(layer_kind="norm", eps_i=0.0, norm_spread=rho)
    assert alpha(model, 0.1) == pytest.approx(1 / ((0.2 * rho**-2 + 0.8) * (0.2 * rho**2 + 0.8)), rel=0.02)


def test_norms_begin_as_they_are_told() -> None:
    torch.manual_seed(1)
    norm = single(width=1000, layer_kind="norm", norm_init="random", norm_spread=50.0, eps_i=0.3).chain.norm
    gamma, beta = norm.weight.detach(), norm.bias.detach()
    assert norm.eps_i == 0.3
    assert 0 <= gamma.min() < gamma.max() <= 1
    assert float(gamma[:200].max()) <= 1 / 50
    assert float(gamma[200:].mean()) == pytest.approx(1 / 2, abs=0.05)
    assert float(beta.std()) == pytest.approx(1, abs=0.1)
    for name in ("hybrid", "resnet"):
        model = build(Model(name=name, width=20, norm_spread=4.0), 10, 16)
        norms = [module for module in model.modules() if isinstance(module, InvertibleBatchNorm)]
        for module in norms:
            expected = np.where(np.arange(module.channels) < module.channels // 5, 0.25, 1)
            assert np.array_equal(module.weight.detach().cpu(), expected.astype(np.float32))
        assert all(not module.bias.any() for module in norms)
