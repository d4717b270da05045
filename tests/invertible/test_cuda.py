"""The same promises on a GPU: gradients, buffers bit for bit, the random stream, autocast, no synchronisation."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from gradbench.case.schema import Model
from gradbench.invertible import storing
from gradbench.models import MODELS
from gradbench.models.build import build
from tests.invertible.oracle import relative_error, worst_error
from tests.models.networks import loss, with_dropout

pytestmark = pytest.mark.gpu


def network(name: str, depth: int = 4) -> nn.Module:
    return build(Model(name=name, depth=depth, width=16), classes=10, image_size=16).cuda()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("training", [True, False])
def test_float64_gradients_equal_stored_ones(name: str, training: bool) -> None:
    x = (torch.randn(16, 3, 16, 16, dtype=torch.float64, device="cuda"),)
    assert worst_error(network(name).double().train(training), x, loss) < 1e-9


@pytest.mark.parametrize("name", MODELS)
def test_float32_buffers_and_scores_equal_stored_ones_bit_for_bit(name: str) -> None:
    x = (torch.randn(16, 3, 16, 16, device="cuda"),)
    model = network(name)
    assert worst_error(model, x, loss) < 0.1  # compares the buffers too
    with storing(model):
        stored = model(*x)
    assert torch.equal(stored, model(*x))


def test_dropout_uses_the_same_mask_and_the_stream_goes_on_as_if_it_ran_once() -> None:
    model = with_dropout(network("revnet")).double()
    x = (torch.randn(8, 3, 16, 16, dtype=torch.float64, device="cuda"),)
    states = []

    def remember(scores: Tensor) -> Tensor:
        states.append(torch.cuda.get_rng_state())
        return loss(scores)

    assert worst_error(model, x, remember) < 1e-9
    assert torch.equal(states[0], states[1])
    assert torch.equal(states[1], torch.cuda.get_rng_state())


@pytest.mark.parametrize("name", MODELS)
def test_autocast_of_the_forward_pass_is_that_of_the_backward_pass(name: str) -> None:
    model, x = network(name, 3), torch.randn(64, 3, 16, 16, device="cuda")
    stored_model = copy.deepcopy(model)

    def step(model: nn.Module) -> None:
        with torch.autocast("cuda", torch.float16):
            value = loss(model(x))
        (1024 * value).backward()  # above the smallest numbers of the type

    with storing(stored_model):
        step(stored_model)
    step(model)
    for (key, mine), other in zip(model.named_parameters(), stored_model.parameters(), strict=True):
        assert relative_error(mine.grad, other.grad) < 0.3, key


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
def test_neither_pass_waits_for_the_gpu() -> None:
    model, x = network("hybrid"), torch.randn(16, 3, 16, 16, device="cuda")
    loss(model(x)).backward()
    torch.cuda.set_sync_debug_mode("error")
    try:
        model(x).square().mean().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
