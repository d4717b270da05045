"""Gradient errors against planted ones of known size, and the noise of SGD against plain loops."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradbench.calibrate.planted import Planted
from gradbench.measure.errors import GradientErrors
from gradbench.measure.gradients import gradients_of, measure_gradients, preserved
from gradbench.measure.memory import LiveStorages
from gradbench.measure.verdict import verdict, worst
from gradbench.strategies.stored import Stored
from tests.measure.planted import small_batches, small_network


def measured(planted: Planted, model: nn.Module, count: int = 6, truths: int = 2) -> dict[str, GradientErrors]:
    found = measure_gradients(model, Stored(), [planted], small_batches(count), truths)
    return {errors.parameter: errors for errors in found["planted"].gradients}


def plain_gradients(model: nn.Module, count: int) -> list[dict[str, Tensor]]:
    """Return each minibatch's gradients by plain autograd, in float64 numbers."""
    result = []
    for x, y in small_batches(count):
        with preserved(model):
            F.cross_entropy(model(x), y).backward()
            result.append({n: p.grad.double() for n, p in model.named_parameters()})
            model.zero_grad(set_to_none=True)
    return result


def test_a_multiple_of_the_gradient_has_the_errors_of_that_multiple() -> None:
    model = small_network()
    found = measured(Planted(lambda name, g: g * 1.25), model)
    plain = plain_gradients(model, 6)
    for name, errors in found.items():
        g = torch.stack([gradients[name].flatten() for gradients in plain])
        s2 = float((g - g.mean(0)).square().sum() / 5)
        mean_g2 = float(g.square().sum() / 6)
        assert errors.rel_error == pytest.approx(0.25, rel=1e-6)
        assert errors.cosine == pytest.approx(1, rel=1e-6)
        assert errors.norm_ratio == pytest.approx(1.25, rel=1e-6)
        assert errors.sign_agreement == 1
        assert errors.sgd_variance == pytest.approx(s2, rel=1e-5)
        assert errors.noise_ratio == pytest.approx(0.0625 * mean_g2 / s2, rel=1e-5)
        assert errors.grad_norm == pytest.approx(math.sqrt(mean_g2), rel=1e-6)
        # e_b = g_b / 4: its mean is mean g / 4, its variance s2 / 16.
        bias = 0.0625 * (float(g.mean(0).square().sum()) - s2 / 6)
        assert errors.bias_ratio == pytest.approx(bias / (s2 / 6), rel=1e-4, abs=1e-6)


def test_errors_against_float64_are_those_of_a_float64_twin() -> None:
    model = small_network()
    factor = 1 + 1e-3
    found = measured(Planted(lambda name, g: g * factor), model, truths=1)
    x, y = small_batches(1)[0]
    twin = small_network().double()
    twin.load_state_dict({k: v.double() if v.is_floating_point() else v for k, v in model.state_dict().items()})
    F.cross_entropy(twin(x.double()), y).backward()
    with preserved(model):
        F.cross_entropy(model(x), y).backward()
        for name, parameter in model.named_parameters():
            t, g = twin.get_parameter(name).grad, parameter.grad
            h = (g * factor).double()
            assert found[name].rel_error_truth == pytest.approx(float((h - t).norm() / t.norm()), rel=1e-6)
            assert found[name].excess == pytest.approx(float((h - t).norm() / (g.double() - t).norm()), rel=1e-6)


def test_white_noise_is_unbiased_and_its_size_is_found() -> None:
    model = small_network()
    generator = torch.Generator().manual_seed(1)

    def noisy(name: str, g: Tensor) -> Tensor:
        return g + 0.01 * torch.randn(g.shape, generator=generator)

    found = measured(Planted(noisy), model, count=24, truths=0)
    weight = found["3.weight"]
    entries = 4 * 4 * 9
    error = weight.noise_ratio * weight.sgd_variance
    spread = math.sqrt(2 / (24 * entries))  # relative standard deviation of a mean of chi-squares
    assert error == pytest.approx(1e-4 * entries, rel=5 * spread)
    bias_sq = weight.bias_ratio * weight.sgd_variance / 24
    assert abs(bias_sq) <= 5 * 1e-4 * math.sqrt(2 * entries) / 24
    assert weight.noise_low < weight.noise_ratio < weight.noise_high


@pytest.mark.parametrize("layer", ["0.weight", "3.weight", "6.weight"])
def test_planted_faults_are_named_and_leave_the_other_layers_exact(layer: str) -> None:
    faults = {
        "flipped sign": (lambda g: -g, ("harmful", "comparable", "unresolved")),
        "a channel zeroed": (lambda g: g * (torch.arange(len(g)) > 0).view(-1, *[1] * (g.dim() - 1)), ("broken",)),
        "missing": (lambda g: None, ("broken",)),
        "not a number": (lambda g: g * math.nan, ("broken",)),
        "infinite": (lambda g: g / 0, ("broken",)),
    }
    for what, (change, allowed) in faults.items():
        found = measured(
            Planted(lambda name, g, change=change: change(g) if name == layer else g), small_network(), truths=1
        )
        verdicts = {name: verdict(errors) for name, errors in found.items()}
        assert verdicts.pop(layer) in allowed, what
        assert set(verdicts.values()) == {"exact"}, what
        assert found[layer].missing == (what == "missing")


def test_what_is_right_on_some_minibatches_only_is_not_rounding() -> None:
    calls = {"number": 0}

    def every_other(name: str, g: Tensor) -> Tensor:
        calls["number"] += name == "0.weight"
        return g * (1 if calls["number"] % 2 else -3)

    for truths in (1, 2, 4):
        calls["number"] = 0
        found = measured(Planted(every_other), small_network(), count=8, truths=truths)
        assert {verdict(errors) for errors in found.values()} <= {"harmful", "unresolved", "comparable"}


def test_nothing_of_the_model_moves() -> None:
    model = small_network()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    stream = torch.random.get_rng_state()
    measured(Planted(lambda name, g: g), model)
    assert torch.equal(torch.random.get_rng_state(), stream)
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_no_verdict_changes_with_the_scale_of_the_loss() -> None:
    torch.manual_seed(3)
    model = small_network()
    generator = torch.Generator()

    def noisy(scale: float) -> dict[str, str]:
        generator.manual_seed(5)
        planted = Planted(lambda name, g: g + 0.02 * scale * torch.randn(g.shape, generator=generator))
        found = measure_gradients(model, Scaled(scale), [planted_after(planted, scale)], small_batches(8), 1)
        return {errors.parameter: verdict(errors) for errors in found["planted"].gradients}

    assert noisy(1.0) == noisy(1024.0) == noisy(1e-6)


class Scaled(Stored):
    """Stored training of the loss times a constant."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def applied_to(self, model: nn.Module):  # noqa: ANN201
        return planted_after(None, self.scale).applied_to(model)


def planted_after(planted: Planted | None, scale: float) -> Planted:
    def change(name: str, gradient: Tensor) -> Tensor | None:
        scaled = gradient * scale
        return planted.change(name, scaled) if planted else scaled

    return Planted(change)


def errors(**changes: float | bool) -> GradientErrors:
    base = {name: 1.0 for name in GradientErrors.__dataclass_fields__}
    base |= {
        "parameter": "w",
        "identical": False,
        "finite": True,
        "missing": False,
        "zeroed_channels": 0,
        "excess": 50.0,
    }
    return GradientErrors(**(base | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"identical": True}, "exact"),
        ({"identical": True, "grad_norm": 0.0}, "undefined"),
        ({"grad_norm": 0.0}, "undefined"),
        ({"excess": 2.0, "noise_low": 0.01, "noise_high": 0.0999}, "rounding"),
        ({"excess": 2.0, "noise_low": 0.2, "noise_high": 0.3}, "comparable"),
        ({"noise_low": 0.01, "noise_high": 0.0999}, "below-noise"),
        ({"noise_low": 0.01, "noise_high": 0.1}, "unresolved"),
        ({"noise_low": 0.1, "noise_high": 1.0}, "comparable"),
        ({"noise_low": 0.9, "noise_high": 1.1}, "unresolved"),
        ({"noise_low": 1.01, "noise_high": 9.0}, "harmful"),
        ({"sgd_variance": 0.0, "noise_low": math.nan, "noise_high": math.nan}, "unresolved"),
        ({"finite": False, "identical": False}, "broken"),
        ({"missing": True}, "broken"),
        ({"zeroed_channels": 1}, "broken"),
        ({"excess": math.nan, "noise_low": 0.2, "noise_high": 0.3}, "comparable"),
    ],
)
def test_the_rule_of_verdicts(changes: dict[str, float], expected: str) -> None:
    assert verdict(errors(**changes)) == expected


def test_the_worst_verdict_decides() -> None:
    assert worst(["exact", "harmful", "rounding"]) == "harmful"
    assert worst(["undefined", "exact"]) == "exact"
    assert worst([]) == ""


def test_gradients_of_leaves_the_gradients_of_the_mean_loss() -> None:
    model, (x, y) = small_network(), small_batches(1)[0]
    gradients_of(model, Stored(), (x, y))
    expected = torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_a_buffer_moved_twice_is_named() -> None:
    class MovesTwice(Stored):
        @property
        def name(self) -> str:
            return "twice"

        @contextmanager
        def applied_to(self, model: nn.Module) -> Iterator[None]:
            yield
            with torch.no_grad():
                model[1].running_var.mul_(1.001)

    model = small_network()
    found = measure_gradients(model, Stored(), [Stored(), MovesTwice()], small_batches(2), 0)
    assert found["stored"].changed_buffers == []
    assert found["twice"].changed_buffers == ["1.running_var"]


def test_a_strategy_that_does_not_repeat_itself_is_found() -> None:
    class Restless(Stored):
        calls = 0

        @property
        def name(self) -> str:
            return "restless"

        @contextmanager
        def applied_to(self, model: nn.Module) -> Iterator[None]:
            yield
            self.calls += 1
            for parameter in model.parameters():
                parameter.grad.mul_(1 + 0.01 * self.calls)

    found = measure_gradients(small_network(), Stored(), [Stored(), Restless()], small_batches(2), 0)
    assert found["stored"].repeat_error == 0
    # The first call scales by 1.01 and the second by 1.02; stored training beside it does not count.
    assert found["restless"].repeat_error == pytest.approx(0.01 / 1.01, rel=1e-5)


def test_memory_for_measuring_grows_with_parameters_and_not_with_minibatches() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2000, bias=False), nn.Linear(2000, 10, bias=False))
    parameters = 192 * 2000 + 2000 * 10
    peaks = []
    for count in (3, 12):
        batches = small_batches(count)
        with LiveStorages() as live:
            live.ignore(*model.parameters(), *(tensor for batch in batches for tensor in batch))
            measure_gradients(model, Stored(), [Planted(lambda name, g: g + 1)], batches, 0)
        peaks.append(live.peak)
    # Nine more minibatches keep a sketch of at most 256 numbers a tensor and a few sums each: far less than a gradient.
    sketches = 9 * 2 * 256 * 8
    assert sketches <= peaks[1] - peaks[0] <= 1.2 * sketches
    # Mean gradient, mean error, a gradient of either and their products, in float64; a few in float32 beside them.
    assert 5 * 8 * parameters <= peaks[0] <= 10 * 8 * parameters
