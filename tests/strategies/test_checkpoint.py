"""What checkpointing alone promises: bit for bit, and from the buffers that a block had."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from gradbench.measure.memory import step_memory
from gradbench.strategies import STRATEGIES
from gradbench.strategies.base import Strategy
from gradbench.strategies.checkpoint import segments
from gradbench.strategies.recompute import has_parameters
from tests.models.networks import images
from tests.strategies.subjects import SPECS, over, relative, step, stored_and, subject


@over([spec for spec in SPECS if "checkpoint" in spec])
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
    stored, own = step(twin, STRATEGIES.create("stored"), x), dict(model.named_buffers())
    with STRATEGIES.create("checkpoint").applied_to(model):
        value = torch.nn.functional.cross_entropy(model(x), torch.arange(4))
        for again in (True, False):
            model.zero_grad()
            value.backward(retain_graph=again)
            found = {key: parameter.grad for key, parameter in model.named_parameters()}
            assert relative(found, stored) < 1e-9
    for key, buffer in model.named_buffers():
        assert torch.equal(buffer, twin.get_buffer(key)), key
        assert buffer is own[key], key


@pytest.mark.parametrize("length", [1, 2, 3, 7])
def test_segments_have_their_length_and_end_with_a_block(length: int) -> None:
    """P: a part without parameters, B: a block; written out, a segment of at most two blocks in brackets."""
    parts = {"P": nn.ReLU, "B": lambda: nn.Linear(2, 2)}
    order = "PBPPBBPBPBP"
    runs = segments(nn.Sequential(*(parts[part]() for part in order)), length)
    spelled = ["".join("B" if has_parameters(part) else "P" for part in run) for run in runs]
    assert (
        spelled
        == {
            1: ["P", "B", "P", "P", "B", "B", "P", "B", "P", "B", "P"],
            2: ["P", "BPPB", "BPB", "P", "B", "P"],
            3: ["P", "BPPBB", "P", "BPB", "P"],
            7: ["P", "BPPBBPBPB", "P"],
        }[length]
    )


def test_a_shared_part_stays_at_all_its_places() -> None:
    act = nn.Tanh()
    model = nn.Sequential(nn.Linear(3, 3), act, nn.Linear(3, 3), act, nn.Linear(3, 3)).double()
    twin, x = copy.deepcopy(model), torch.randn(4, 3, dtype=torch.float64)
    with STRATEGIES.create("checkpoint:2").applied_to(model):
        model(x).square().sum().backward()
    twin(x).square().sum().backward()
    for mine, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(mine.grad, other.grad)


def test_a_sequence_with_a_forward_of_its_own_has_segments_of_one_block() -> None:
    class Twice(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return self[1](self[0](x)) + self[1](x)

    assert [len(run) for run in segments(Twice(nn.Linear(2, 2), nn.Linear(2, 2)), 2)] == [1, 1]


def saved(model: nn.Module, spec: str, x: Tensor) -> int:
    with STRATEGIES.create(spec).applied_to(model):
        return step_memory(model, (x,), lambda: model(x).square().sum()).saved


def test_between_the_passes_the_inputs_of_segments_are_kept() -> None:
    """Of n equal blocks, n / N states: with sqrt, the square root."""
    model = nn.Sequential(*(nn.Sequential(nn.Linear(64, 64), nn.Tanh()) for _ in range(16)))
    x = torch.randn(8, 64)
    state = 8 * 64 * 4
    for spec, kept in [("checkpoint", 16), ("checkpoint:2", 8), ("checkpoint:sqrt", 4), ("checkpoint:16", 1)]:
        # The output is alive too; the batch itself, the first of the inputs, was there before.
        assert saved(model, spec, x) == pytest.approx(kept * state, abs=0.5 * state + 16 * 8), spec


def test_selective_checkpointing_keeps_the_outputs_of_products() -> None:
    """Each block has a convolution, whose output is kept, a norm and an activation; every second keeps half of them."""
    layers = [nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Tanh()) for _ in range(8)]
    blocks = [nn.Sequential(*pair) for pair in zip(layers[::2], layers[1::2], strict=True)]
    model, x = nn.Sequential(*blocks), torch.randn(8, 8, 16, 16)
    state = x.numel() * 4
    sizes = {spec: saved(model, spec, x) / state for spec in ("checkpoint", "selective-checkpoint")}
    half = saved(model, "selective-checkpoint:every-second", x) / state
    assert sizes["selective-checkpoint"] - sizes["checkpoint"] == pytest.approx(8, abs=0.05)
    assert half - sizes["checkpoint"] == pytest.approx(4, abs=0.05)
    assert saved(model, "stored", x) / state > sizes["selective-checkpoint"]


def test_activations_in_place_work_in_place_again_afterwards() -> None:
    model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(inplace=True)), nn.ReLU())
    with STRATEGIES.create("selective-checkpoint").applied_to(model):
        assert not model[0][1].inplace
    assert (model[0][1].inplace, model[1].inplace) == (True, False)


@pytest.mark.parametrize("spec", ["checkpoint", "checkpoint:2", "selective-checkpoint"])
def test_random_slopes_at_the_end_of_a_block_are_drawn_again(spec: str) -> None:
    """The function of RReLU saves its slopes before it writes them."""
    layers = [nn.Sequential(nn.Linear(8, 8), nn.RReLU()) for _ in range(2)]
    model, x = nn.Sequential(*layers).double(), torch.randn(16, 8, dtype=torch.float64)

    def gradients(strategy: str) -> list[Tensor]:
        torch.manual_seed(5)
        with STRATEGIES.create(strategy).applied_to(model):
            return list(torch.autograd.grad(model(x).square().sum(), list(model.parameters())))

    for mine, stored in zip(gradients(spec), gradients("stored"), strict=True):
        assert torch.equal(mine, stored)
