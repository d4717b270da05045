"""Every exact strategy gives the gradients of plain autograd, on every model, however they are asked for."""

from __future__ import annotations

import copy
import random

import pytest
import torch
from torch import Tensor, nn

from gradbench.models import MODELS
from gradbench.strategies import STRATEGIES
from gradbench.strategies.base import Strategy
from tests.models.networks import images, loss
from tests.strategies.subjects import EXACT, SPECS, over, relative, step, stored_and, subject

STORED = STRATEGIES.create("stored")
REBUILDING = [spec for spec in EXACT if spec != "stored"]
SELECTIVE = [spec for spec in EXACT if spec.startswith("selective-checkpoint")]


@pytest.mark.parametrize("name", MODELS)
def test_stored_gradients_are_those_of_finite_differences(name: str) -> None:
    model, (x,) = subject(name).double(), images(4)
    gradients = step(model, STORED, x)
    directions = {key: torch.randn_like(parameter) for key, parameter in model.named_parameters()}

    def moved(size: float) -> Tensor:
        weights = {key: parameter + size * directions[key] for key, parameter in model.named_parameters()}
        with STORED.applied_to(model), torch.no_grad():
            return loss(torch.func.functional_call(model, weights, (x,)))

    slope = (moved(1e-7) - moved(-1e-7)) / 2e-7
    expected = sum((gradients[key] * directions[key]).sum() for key in directions)
    assert float(slope) == pytest.approx(float(expected), rel=1e-5)


@over(REBUILDING)
@pytest.mark.parametrize("depth", [1, 4, 32])
def test_float64_gradients_equal_stored_ones(name: str, strategy: Strategy, depth: int) -> None:
    deep = {"pooling": ("max",) if name == "revnet" else (), "branch_layers": 1}
    model = subject(name, depth, **(deep if depth == 32 else {"branch_layers": 2})).double()
    twin, stored, found = stored_and(model, strategy)
    assert all(gradient is not None and gradient.any() for gradient in stored.values())
    if (name, strategy.name, depth) == ("layerwise", "reconstruct", 32):
        assert relative(found, stored) > 1e-3  # its SNR falls by a factor of about 1 / slope^2 a layer
    else:
        assert relative(found, stored) < 1e-9
    for key, buffer in model.named_buffers():
        assert torch.equal(buffer, twin.get_buffer(key)), key


@over(REBUILDING, ("revnet", "hybrid"))
def test_another_activation(name: str, strategy: Strategy) -> None:
    _, stored, found = stored_and(subject(name, activation="smooth").double(), strategy)
    assert relative(found, stored) < 1e-9


@pytest.mark.parametrize("slope", [0.4, 0.2, 0.1])
def test_the_layerwise_network_follows_its_error_law(slope: float) -> None:
    """Each activation multiplies an error by (1 + s^2) / (2 s), s the slope: Hascoet et al., section 4.1.3.

    The gradient of the stem's norm has passed every layer. What split convolutions and norms add is less than a factor
    of three a layer.
    """
    errors = []
    for depth in (6, 12):
        runs = []
        for seed in range(3):
            torch.manual_seed(seed)
            model = subject("layerwise", depth, negative_slope=slope, width=8, pooling=()).double()
            _, stored, found = stored_and(model, STRATEGIES.create("reconstruct"), images(8)[0])
            runs.append(relative({"": found["chain.stem.norm.weight"]}, {"": stored["chain.stem.norm.weight"]}))
        errors.append(sorted(runs)[1])
    law = (1 + slope**2) / (2 * slope)
    assert law < (errors[1] / errors[0]) ** (1 / 6) < 3 * law


@over(EXACT)
def test_the_images_get_their_gradient(name: str, strategy: Strategy) -> None:
    model = subject(name).double()
    x = images(4)[0].requires_grad_()
    expected = x.detach().clone().requires_grad_()
    stored_model = copy.deepcopy(model)
    step(stored_model, STORED, expected)
    step(model, strategy, x)
    assert relative({"x": x.grad}, {"x": expected.grad}) < 1e-9


@over(REBUILDING)
def test_frozen_parameters_get_none_and_the_others_theirs(name: str, strategy: Strategy) -> None:
    for seed, share in enumerate((0.3, 0.95)):
        model = subject(name).double()
        chosen = random.Random(seed)
        for parameter in list(model.parameters())[:-1]:
            parameter.requires_grad_(chosen.random() > share)
        _, stored, found = stored_and(model, strategy)
        assert {key for key, g in stored.items() if g is None} == {
            key for key, parameter in model.named_parameters() if not parameter.requires_grad
        }
        assert relative(found, stored) < 1e-9


@over(REBUILDING)
def test_two_forward_passes_and_shared_weights(name: str, strategy: Strategy) -> None:
    """One model called twice before one backward pass, of which the second call has other images."""

    def twice(model: nn.Module, strategy: Strategy) -> dict[str, Tensor | None]:
        torch.manual_seed(1)
        first, second = images(4)[0], images(3)[0]
        with strategy.applied_to(model):
            scores = model(first), model(second)
            (loss(scores[1]) + loss(scores[0]).square()).backward()
        return {key: parameter.grad for key, parameter in model.named_parameters()}

    model = subject(name).double()
    twin = copy.deepcopy(model)
    assert relative(twice(model, strategy), twice(twin, STORED)) < 1e-9
    for key, buffer in model.named_buffers():
        assert torch.equal(buffer, twin.get_buffer(key)), key


@over([spec for spec in REBUILDING if spec not in SELECTIVE])
def test_gradients_accumulate_and_autograd_grad_gives_the_same(name: str, strategy: Strategy) -> None:
    model, (x,) = subject(name).double(), images(4)
    once = {key: g.clone() for key, g in step(model, strategy, x).items() if g is not None}
    with strategy.applied_to(model):
        loss(model(x)).backward()
        doubled = {key: parameter.grad / 2 for key, parameter in model.named_parameters()}
        value = loss(model(x))
        asked = [torch.autograd.grad(value, list(model.parameters()), retain_graph=again) for again in (True, False)]
    assert relative(doubled, once) < 1e-12
    for gradients in asked:
        assert relative(dict(zip(once, gradients, strict=True)), once) < 1e-12


# With the square root the last layer is inside a segment, which runs twice; parts of a minibatch run one by one.
@over([spec for spec in SPECS if spec not in ("checkpoint:sqrt", "accumulate:2")])
def test_hooks_fire_once(name: str, strategy: Strategy) -> None:
    """Of parameters, of the model, and of its last layer; inside blocks a strategy may run modules again or not."""
    model, (x,) = subject(name), images(4, dtype=torch.float32)
    fired: list[object] = []
    last = next(module for module in model.modules() if isinstance(module, nn.Linear))
    for key, parameter in model.named_parameters():
        parameter.register_hook(lambda gradient, key=key: fired.append(key))
        parameter.register_post_accumulate_grad_hook(lambda parameter, key=key: fired.append((key, "after")))
    for module in (model, last):
        module.register_forward_pre_hook(lambda module, x: fired.append((id(module), "before")))
        module.register_forward_hook(lambda module, x, y: fired.append((id(module), "after")))
    step(model, strategy, x)
    keys = [key for key, _ in model.named_parameters()]
    expected = [*keys, *((key, "after") for key in keys)]
    expected += [(id(module), when) for module in (model, last) for when in ("before", "after")]
    assert sorted(map(str, fired)) == sorted(map(str, expected))


@over(REBUILDING)
def test_a_hook_changes_the_gradient_once(name: str, strategy: Strategy) -> None:
    model, (x,) = subject(name).double(), images(4)
    stored = step(copy.deepcopy(model), STORED, x)
    for parameter in model.parameters():
        parameter.register_hook(lambda gradient: 3 * gradient)
    found = step(model, strategy, x)
    assert relative(found, {key: 3 * gradient for key, gradient in stored.items() if gradient is not None}) < 1e-9


@over(SELECTIVE, ("hybrid",))
def test_a_second_backward_pass_through_what_torch_has_kept_is_refused(name: str, strategy: Strategy) -> None:
    model, (x,) = subject(name).double(), images(4)
    with strategy.applied_to(model):
        value = loss(model(x))
        value.backward(retain_graph=True)
        with pytest.raises(RuntimeError, match="only allowed to backward once"):
            value.backward()


@over(SPECS)
def test_every_parameter_gets_a_finite_gradient(name: str, strategy: Strategy) -> None:
    gradients = step(subject(name), strategy, images(4, dtype=torch.float32)[0])
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients.values())
