"""Every registered strategy against what every strategy promises."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradbench.case.schema import Model
from gradbench.measure.memory import step_memory
from gradbench.models.build import build
from gradbench.strategies import STRATEGIES
from gradbench.strategies.base import Strategy

EXACT = ("stored", "reconstruct", "checkpoint")
SPECS = [f"{name}:{value}" for name, entry in STRATEGIES.items() for value in entry.allowed] + [
    name for name, entry in STRATEGIES.items() if not entry.argument
]


def hybrid(dtype: torch.dtype = torch.float32, depth: int = 3) -> nn.Module:
    torch.manual_seed(torch.randint(1000, ()).item())
    return build(Model(name="hybrid", depth=depth, width=8), classes=10, image_size=16).to(dtype)


def plain_network() -> nn.Module:
    """A user's network without any invertible part, with running statistics and both kinds of rectifier."""
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
        nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.LeakyReLU(0.1)),
        nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(inplace=True), nn.AvgPool2d(2)),
        nn.Flatten(),
        nn.Linear(8 * 64, 10),
    )


def batch(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    return torch.randn(6, 3, 16, 16, dtype=dtype), torch.randint(10, (6,))


def step(model: nn.Module, strategy: Strategy, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    model.zero_grad(set_to_none=True)
    with strategy.applied_to(model):
        loss = F.cross_entropy(model(x), y)
        loss.backward()
    return loss.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("spec", EXACT)
def test_exact_strategies_equal_plain_autograd_in_float64(spec: str) -> None:
    model, (x, y) = hybrid(torch.float64), batch(torch.float64)
    twin = copy.deepcopy(model)
    _, stored = step(twin, STRATEGIES.create("stored"), x, y)
    _, found = step(model, STRATEGIES.create(spec), x, y)
    assert found.keys() == stored.keys() == dict(model.named_parameters()).keys()
    for name, gradient in found.items():
        assert (gradient - stored[name]).norm() <= 1e-9 * stored[name].norm(), name
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, twin.get_buffer(name)), name


def test_checkpoint_runs_again_from_the_buffers_that_the_block_had() -> None:
    """Spectral norm moves its vectors in every forward pass: a second pass must not start from the moved ones."""
    layers = [nn.utils.spectral_norm(nn.Conv2d(3, 3, 3, padding=1)) for _ in range(2)]
    model = nn.Sequential(
        *(nn.Sequential(layer, nn.BatchNorm2d(3), nn.Tanh()) for layer in layers), nn.Flatten()
    ).double()
    x, y = torch.randn(4, 3, 3, 3, dtype=torch.float64), torch.randint(10, (4,))
    twin = copy.deepcopy(model)
    _, stored = step(twin, STRATEGIES.create("stored"), x, y)
    _, found = step(model, STRATEGIES.create("checkpoint"), x, y)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, stored[name], rtol=1e-9, atol=1e-12)
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, twin.get_buffer(name)), name


def test_checkpoint_works_in_evaluation_mode() -> None:
    model, (x, y) = plain_network().eval(), batch()
    _, stored = step(model, STRATEGIES.create("stored"), x, y)
    stored = {name: gradient.clone() for name, gradient in stored.items()}
    _, found = step(model, STRATEGIES.create("checkpoint"), x, y)
    assert all(torch.equal(found[name], stored[name]) for name in stored)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("make", [hybrid, plain_network])
def test_a_strategy_gives_every_gradient_and_leaves_the_model_as_it_was(spec: str, make: object) -> None:
    model, (x, y) = make(), batch()  # type: ignore[operator]
    strategy = STRATEGIES.create(spec)
    if strategy.applies_to(model):
        assert spec == "reconstruct"
        assert "no invertible chain" in strategy.applies_to(model)
        return
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    reference = copy.deepcopy(model)
    before = reference(x)
    _, gradients = step(model, strategy, x, y)
    assert gradients.keys() == dict(model.named_parameters()).keys()
    assert all(torch.isfinite(g).all() for g in gradients.values())
    assert hooks == [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    assert not any("forward" in vars(m) for m in model.modules())
    assert torch.equal(model(x), before)


@pytest.mark.parametrize("spec", SPECS)
def test_an_exception_inside_leaves_the_model_usable(spec: str) -> None:
    model, (x, y) = hybrid(), batch()
    strategy = STRATEGIES.create(spec)

    def fails() -> None:
        with strategy.applied_to(model):
            model(x)
            raise KeyError("planted")

    with pytest.raises(KeyError, match="planted"):
        fails()
    _, gradients = step(model, strategy, x, y)
    assert len(gradients) == len(list(model.parameters()))


@pytest.mark.parametrize("spec", [s for s in SPECS if s.startswith("approximate")])
@pytest.mark.parametrize("make", [hybrid, plain_network])
def test_the_forward_pass_and_the_buffers_of_approximate_are_exact(spec: str, make: object) -> None:
    model, (x, y) = make(), batch()  # type: ignore[operator]
    twin = copy.deepcopy(model)
    expected, stored = step(twin, STRATEGIES.create("stored"), x, y)
    loss, gradients = step(model, STRATEGIES.create(spec), x, y)
    assert torch.equal(loss, expected)
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, twin.get_buffer(name)), name
    first, last = next(iter(gradients)), list(gradients)[-1]
    assert torch.equal(gradients[last], stored[last])  # above the last quantised activation nothing changes
    assert not torch.equal(gradients[first], stored[first])


def test_more_bits_mean_less_error_and_naive_is_worse() -> None:
    torch.manual_seed(7)
    model, (x, y) = hybrid(depth=5), batch()
    _, stored = step(model, STRATEGIES.create("stored"), x, y)

    def error(spec: str) -> float:
        _, found = step(model, STRATEGIES.create(spec), x, y)
        return float(sum((found[n] - stored[n]).square().sum() for n in stored))

    approximate = {bits: error(f"approximate:{bits}") for bits in (2, 3, 4, 6, 8)}
    # Above some bits the values beyond three standard deviations, which are clipped, make the error.
    assert approximate[2] > 2 * approximate[3] > 3 * approximate[4] > 3 * approximate[6] > 3 * approximate[8]
    for bits, squared in approximate.items():
        assert error(f"naive-quantize:{bits}") > 4 * squared


@pytest.mark.parametrize("spec", SPECS)
def test_memory_between_the_passes_is_what_the_strategy_says(spec: str) -> None:
    model, (x, y) = hybrid(depth=6), batch()
    images = x.repeat(4, 1, 1, 1), y.repeat(4)
    strategy = STRATEGIES.create(spec)
    used = {}
    for name, chosen in (("stored", STRATEGIES.create("stored")), (spec, strategy)):
        with chosen.applied_to(model):
            used[name] = step_memory(model, images, lambda: F.cross_entropy(model(images[0]), images[1]))
    memory, stored = used[spec], used["stored"]
    assert memory.left <= 4096, "something is held after the backward pass"
    ratio = memory.saved / stored.saved
    bits = int(spec.partition(":")[2] or 32)
    limit = {"stored": 1.0, "reconstruct": 0.15, "checkpoint": 0.5}.get(spec, bits / 32 + 0.06)
    assert ratio <= limit
