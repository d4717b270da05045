"""Noise of a known size on what is rebuilt from: its draws, its size in the gradient, and where it is added."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
import torch
from torch import Tensor, nn

from gradbench.invertible import Chain, InvertibleLeakyReLU, watch_rebuilt
from gradbench.invertible.state import Owned
from gradbench.strategies import STRATEGIES
from gradbench.strategies.noisy_reconstruct import NoisyReconstruct
from gradbench.strategies.stored import Stored
from tests.models.networks import images, loss
from tests.strategies.subjects import relative, step, stored_and, subject


class Scale(nn.Module):
    """y = weight x, whose weight's gradient is sum dy x."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(value, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x

    def inverse(self, y: Tensor) -> Tensor:
        return y / self.weight


def rebuilt_by(model: nn.Module, strategy: NoisyReconstruct, x: Tensor, times: int = 1) -> list[Tensor]:
    """Return each layer's rebuilt input, in the order of the backward pass."""
    seen: list[Tensor] = []
    with (
        strategy.applied_to(model),
        watch_rebuilt(lambda module, x, y: seen.append(torch.cat([t.flatten() for t in x]))),
    ):
        value = model(x).square().sum()
        for _ in range(times):
            value.backward(retain_graph=True)
    return [tensor.clone() for tensor in seen]


def test_the_noise_is_white_and_of_the_size_asked_for() -> None:
    chain, x = Chain(Scale(0.5)), torch.randn(4, 8, 16, 16, dtype=torch.float64)
    (found,) = rebuilt_by(chain, NoisyReconstruct(1e-3), x)
    noise = (found - x.flatten()) * 0.5
    assert float(noise.std()) == pytest.approx(1e-3, rel=0.05)
    assert abs(float(noise.mean())) < 1e-4
    assert abs(float(torch.corrcoef(torch.stack([noise[1:], noise[:-1]]))[0, 1])) < 0.05
    assert abs(float(torch.corrcoef(torch.stack([noise, x.flatten()]))[0, 1])) < 0.05


def test_the_gradient_is_that_of_the_disturbed_input() -> None:
    """Of one scale w and the sum of squares it is sum 2 w x x_hat, by hand."""
    chain, x = Chain(Scale(0.5)), torch.randn(3, 2, 4, 4, dtype=torch.float64)
    (found,) = rebuilt_by(chain, NoisyReconstruct(0.1), x)
    expected = float((2 * 0.5 * x.flatten() * found).sum())
    assert float(next(chain.parameters()).grad) == pytest.approx(expected, rel=1e-12)


def test_draws_follow_the_seed_and_differ_from_step_to_step() -> None:
    model, x = Chain(InvertibleLeakyReLU(0.2), Scale(0.5)), torch.randn(2, 2, 4, 4, dtype=torch.float64)

    def runs(seed: int) -> list[Tensor]:
        torch.manual_seed(seed)
        strategy = NoisyReconstruct(0.01)
        return [rebuilt_by(model, strategy, x)[0] for _ in range(2)]

    (first, second), again, other = runs(1), runs(1), runs(2)
    assert torch.equal(first, again[0])
    assert torch.equal(second, again[1])
    assert not torch.equal(first, second)
    assert not torch.equal(first, other[0])


def test_two_backward_passes_through_one_forward_pass_have_the_same_noise() -> None:
    model, x = Chain(Scale(0.5)), torch.randn(2, 2, 4, 4, dtype=torch.float64)
    one, other = rebuilt_by(model, NoisyReconstruct(0.01), x, times=2)
    assert torch.equal(one, other)


@pytest.mark.parametrize("name", ["layerwise", "hybrid", "revnet"])
def test_without_noise_it_is_reconstruction_bit_for_bit(name: str) -> None:
    model, (x,) = subject(name), images(4, dtype=torch.float32)
    expected = step(model, STRATEGIES.create("reconstruct"), x)
    found = step(model, NoisyReconstruct(0), x)
    assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize("name", ["layerwise", "hybrid", "revnet"])
def test_errors_grow_with_the_noise(name: str) -> None:
    errors = [relative(*reversed(stored_and(subject(name).double(), NoisyReconstruct(sd))[1:])) for sd in (1e-9, 1e-7)]
    assert 10 < errors[1] / errors[0] < 1000
    assert errors[1] > 1e-8


def test_parts_get_their_own_noise_and_neighbours_share_it() -> None:
    """Alone or with its neighbour, a module is rebuilt from an output with noise; between the two there is none."""
    x = torch.randn(2, 2, 8, 8, dtype=torch.float64)
    model = Chain({"a": Scale(2.0), "b": Scale(4.0), "c": Scale(8.0)})

    def errors(*parts: str) -> dict[str, float]:
        found: dict[str, float] = {}
        strategy = NoisyReconstruct(0.01)

        def compare(module: nn.Module, rebuilt: tuple[Tensor, ...], y: tuple[Tensor, ...]) -> None:
            name = next(key for key, member in model.named_children() if member is module)
            true = x * {"a": 1, "b": 2, "c": 8}[name]
            found[name] = float((rebuilt[0] - true).std())

        with Stored().applied_to(model), ExitStack() as contexts, watch_rebuilt(compare):
            for part in parts:
                contexts.enter_context(strategy.applied_to(model.get_submodule(part)))
            model(x).square().sum().backward()
        return found

    assert errors("b") == {"b": pytest.approx(0.01 / 4, rel=0.2)}
    assert errors("a", "c") == {"a": pytest.approx(0.01 / 2, rel=0.2), "c": pytest.approx(0.01 / 8, rel=0.2)}
    chained = errors("a", "b")
    assert chained["b"] == pytest.approx(0.01 / 4, rel=0.2)
    assert chained["a"] == pytest.approx(chained["b"] / 2, rel=1e-6)


def test_layers_of_inner_chains_that_are_treated_one_by_one_are_one_node() -> None:
    inner = Chain(Scale(2.0), Scale(3.0))
    model, x = Chain(inner, Scale(4.0)), torch.randn(2, 2, 8, 8, dtype=torch.float64)
    strategy, seen = NoisyReconstruct(0.01), []
    scales = [module for module in model.modules() if isinstance(module, Scale)]
    with Stored().applied_to(model), ExitStack() as contexts:
        for scale in scales:
            contexts.enter_context(strategy.applied_to(scale))
        with watch_rebuilt(lambda module, rebuilt, y: seen.append(rebuilt[0] - x)):
            model(x).sum().backward()
    assert strategy.calls == 1
    assert float(seen[-1].std()) == pytest.approx(0.01 / 24, rel=0.2)


def test_stored_and_rebuilt_parts_inside_it_have_no_noise() -> None:
    model, (x,) = subject("layerwise").double(), images(4)
    with NoisyReconstruct(0.1).applied_to(model), STRATEGIES.create("reconstruct").applied_to(model):
        loss(model(x)).backward()
    plain = {key: parameter.grad for key, parameter in model.named_parameters()}
    assert relative(step(model, Stored(), x), plain) < 1e-9


def test_half_precision_gets_noise_of_float32_rounded_once() -> None:
    strategy, y = NoisyReconstruct(0.5), torch.full((1, 1, 100, 100), 256.0, dtype=torch.bfloat16)
    (noisy,) = strategy._disturbed()((y,))
    assert noisy.dtype == torch.bfloat16
    assert set(noisy.float().unique().tolist()) <= {254.0, 255.0, 256.0, 258.0}
    assert (y == 256).all()
    strategy.calls = 0
    (over,) = strategy._disturbed()(Owned((y,)))
    assert over.data_ptr() == y.data_ptr()
    assert torch.equal(over, noisy)
