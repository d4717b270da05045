"""Synthetic gradients: what is exact, what is predicted, and who learns."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from gradbench.measure.state import State
from gradbench.strategies.decoupled import Decoupled, Synthesizer
from gradbench.strategies.stored import Stored
from tests.models.networks import images, loss
from tests.strategies.subjects import subject


def network() -> nn.Sequential:
    return nn.Sequential(*(nn.Sequential(nn.Linear(6, 6), nn.Tanh()) for _ in range(3))).double()


def test_at_first_only_what_is_behind_the_last_boundary_learns() -> None:
    model, x = network(), torch.randn(8, 6, dtype=torch.float64)
    stored = torch.autograd.grad(model(x).square().sum(), list(model.parameters()))
    with Decoupled().applied_to(model):
        output = model(x)
        output.square().sum().backward()
    for index, (parameter, gradient) in enumerate(zip(model.parameters(), stored, strict=True)):
        assert torch.equal(parameter.grad, gradient if index >= 4 else torch.zeros_like(gradient))


def test_a_block_gets_the_prediction_from_its_output_and_its_boundary_is_taught_what_arrives() -> None:
    """Written out for the first block of three: J^T s(h), s as it was before this step."""
    model, strategy = network(), Decoupled()
    for _ in range(3):
        x = torch.randn(8, 6, dtype=torch.float64)
        with strategy.applied_to(model):
            model(x).square().sum().backward()
    before = {block: copy.deepcopy(own[0].network) for block, own in strategy._synthesizers.items()}
    first, second, third = model
    model.zero_grad()
    with strategy.applied_to(model):
        model(x).square().sum().backward()
    sizes = {block: own[0].size for block, own in strategy._synthesizers.items()}
    h = first(x)
    expected = torch.autograd.grad(h, list(first.parameters()), before[second](h.detach()) * sizes[second])
    for parameter, gradient in zip(first.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-9, atol=1e-12)
    h2 = second(h.detach().requires_grad_())
    predicted = before[third](h2.detach()) * sizes[third]
    taught = torch.autograd.grad(h2, list(second.parameters()), predicted)
    for parameter, gradient in zip(second.parameters(), taught, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-9, atol=1e-12)
    assert set(before) == {second, third}


@pytest.mark.parametrize("shape", [(16, 4), (8, 3, 4), (8, 4, 5, 5)])
def test_a_synthesizer_learns_a_gradient_that_its_activation_determines(shape: tuple[int, ...]) -> None:
    synthesizer = Synthesizer(torch.zeros(shape))
    errors = []
    for _ in range(120):
        x = torch.randn(shape)
        gradient = 1e-6 * x.sign()
        predicted = synthesizer.replace(x, gradient)
        errors.append(float((predicted - gradient).norm() / gradient.norm()))
    assert errors[0] == 1
    assert sum(errors[-20:]) / 20 < 0.97


def test_after_the_first_step_nothing_more_is_held() -> None:
    model = nn.Sequential(*(nn.Sequential(nn.Linear(6, 6), nn.Tanh()) for _ in range(3)))
    batch = torch.randn(8, 6), torch.randint(6, (8,))
    found = {one.check: one for one in State(model, Stored(), batch).of(Decoupled())}
    assert (found["memory"].outcome, found["memory"].amount) == ("exact", 0)


def test_the_model_and_its_random_stream_are_those_of_stored_training() -> None:
    model = nn.Sequential(*subject("plain").children(), nn.Dropout(0.3))
    twin, (x,) = copy.deepcopy(model), images(4, dtype=torch.float32)
    states = []
    for net, strategy in ((model, Decoupled()), (twin, None)):
        torch.manual_seed(3)
        if strategy is None:
            loss(net(x)).backward()
        else:
            with strategy.applied_to(net):
                loss(net(x)).backward()
        states.append(torch.get_rng_state())
    assert torch.equal(*states)
    assert list(model.state_dict()) == list(twin.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), twin.state_dict().values(), strict=True))


def test_one_block_alone_cannot_be_decoupled() -> None:
    reason = Decoupled().applies_to(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    assert reason == "Sequential has no chain or nn.Sequential of several blocks that could be decoupled"
