"""What checkpointing alone promises: bit for bit, and from the buffers that a block had."""

from __future__ import annotations

import copy

import torch
from torch import nn

from gradbench.strategies import STRATEGIES
from gradbench.strategies.base import Strategy
from tests.models.networks import images
from tests.strategies.subjects import over, relative, step, stored_and, subject


@over(["checkpoint"])
def test_gradients_are_stored_ones_bit_for_bit(name: str, strategy: Strategy) -> None:
    _, stored, found = stored_and(subject(name), strategy)
    assert all(torch.equal(found[key], stored[key]) for key in stored)  # type: ignore[arg-type]


def test_a_block_runs_again_from_the_buffers_that_it_had_however_often() -> None:
    """Spectral norm moves its vectors in every forward pass: no later pass may start from the moved ones."""
    layers = [nn.utils.spectral_norm(nn.Conv2d(3, 3, 3, padding=1)) for _ in range(2)]
    model = nn.Sequential(
        *(nn.Sequential(layer, nn.BatchNorm2d(3), nn.Tanh()) for layer in layers), nn.Flatten(), nn.Linear(192, 5)
    ).double()
    twin, (x,) = copy.deepcopy(model), images(4)
    stored = step(twin, STRATEGIES.create("stored"), x)
    with STRATEGIES.create("checkpoint").applied_to(model):
        value = torch.nn.functional.cross_entropy(model(x), torch.arange(4))
        for again in (True, False):
            model.zero_grad()
            value.backward(retain_graph=again)
            found = {key: parameter.grad for key, parameter in model.named_parameters()}
            assert relative(found, stored) < 1e-9
    for key, buffer in model.named_buffers():
        assert torch.equal(buffer, twin.get_buffer(key)), key
