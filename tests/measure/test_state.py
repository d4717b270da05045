"""Each check of what a step leaves behind speaks of the fault that is planted for it, and of no other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gradbench.faulty.methods import CompileBudget, ReentrantCheckpoint, TorchCheckpoint
from gradbench.measure.state import State
from gradbench.results import CHECKS, OUTCOMES
from gradbench.strategies import STRATEGIES
from gradbench.strategies.base import Strategy
from gradbench.strategies.forward import forward_replaced
from gradbench.strategies.stored import Stored


class DropPath(nn.Module):
    """Drops whole rows, as stochastic depth does."""

    def forward(self, x: Tensor) -> Tensor:
        return x * (torch.rand(len(x), 1, device=x.device) < 0.7) / 0.7


class Attends(nn.Module):
    """Dropout inside a function, where no module has it."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.scaled_dot_product_attention(x[None], x[None], x[None], dropout_p=0.3)[0]


class Attention(nn.Module):
    """Self-attention of (N, T, D), with dropout of a few of its weights."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.maps = nn.Linear(width, 3 * width)

    def forward(self, x: Tensor) -> Tensor:
        return x + nn.functional.scaled_dot_product_attention(*self.maps(x).chunk(3, -1), dropout_p=0.02)


def network(*random: nn.Module) -> nn.Module:
    torch.manual_seed(1)
    first = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), *random, nn.Linear(8, 8))
    return nn.Sequential(first, nn.Sequential(nn.Linear(8, 8), nn.ReLU()), nn.Linear(8, 5))


def batch() -> tuple[Tensor, Tensor]:
    return torch.randn(7, 6), torch.randint(5, (7,))


class Planted(Strategy):
    """Stored training, and what `around` does before and after it."""

    name = "planted"

    def __init__(self, around: Callable[[nn.Module], Any]) -> None:
        self._around = around

    def applied_to(self, model: nn.Module) -> Any:
        return contextmanager(self._around)(model)


def run_again(**options: Any) -> Callable[[nn.Module], Iterator[None]]:
    """Checkpoint the first block."""

    def around(model: nn.Module) -> Iterator[None]:
        forward = model[0].forward
        with forward_replaced(model[0], lambda x: checkpoint(forward, x, **options)):
            yield

    return around


def hooked(hook: Callable[..., Any]) -> Callable[[nn.Module], Iterator[None]]:
    """Change the output."""

    def around(model: nn.Module) -> Iterator[None]:
        handle = model.register_forward_hook(hook)
        try:
            yield
        finally:
            handle.remove()

    return around


def drops_a_gradient(model: nn.Module) -> Iterator[None]:
    hook = model[0][0].weight.register_post_accumulate_grad_hook(lambda weight: setattr(weight, "grad", None))
    yield
    hook.remove()


def draws_once_more(model: nn.Module) -> Iterator[None]:
    torch.rand(1)
    yield


def moves_statistics(model: nn.Module) -> Iterator[None]:
    def after(module: nn.Module, *_: Any) -> None:
        module.running_var.data.mul_(1.5)

    hook = model[0][1].register_forward_hook(after)
    yield
    hook.remove()


def writes_into_inputs(model: nn.Module) -> Iterator[None]:
    def before(module: nn.Module, inputs: tuple[Tensor]) -> None:
        inputs[0].data[0, 0] += 1e-3

    hook = model.register_forward_hook(lambda module, inputs, output: before(module, inputs))
    yield
    hook.remove()


def keeps(model: nn.Module) -> Iterator[None]:
    kept: list[Tensor] = []
    hook = model[1].register_forward_hook(lambda module, inputs, output: kept.append(output.detach().clone()))
    yield
    hook.remove()


FAULTS = {
    "gradients": (drops_a_gradient, "no gradient for 0.0.weight, where stored training gives one", 1),
    "buffers": (moves_statistics, "0.1.running_var: not what stored training leaves", 1),
    "output": (
        hooked(lambda module, inputs, y: y.double()),
        "float64 [7, 5] where stored training gives float32 [7, 5]",
        1,
    ),
    "inputs": (writes_into_inputs, "the inputs' tensor 0: written to", 1),
    "memory": (keeps, "224 bytes are still held after the backward pass", 7 * 8 * 4),
}


@pytest.mark.parametrize("check", FAULTS)
def test_a_planted_fault_is_named_by_its_own_check_alone(check: str) -> None:
    around, says, amount = FAULTS[check]
    found = State(network(nn.Dropout(0.3)), Stored(), batch()).of(Planted(around))
    (fault,) = [one for one in found if one.outcome == "fault"]
    assert (fault.check, fault.says, fault.amount) == (check, says, amount)


def test_a_stream_that_stands_elsewhere_is_named() -> None:
    # Without random numbers in the model no other check can see it.
    found = {one.check: one for one in State(network(), Stored(), batch()).of(Planted(draws_once_more))}
    assert found["random stream"].says == "torch's CPU generator: not where stored training leaves it"
    assert [one.check for one in found.values() if one.outcome == "fault"] == ["random stream"]
    assert found["masks"].outcome == "not applicable"


@pytest.mark.parametrize("spec", ["stored", "checkpoint", "approximate:4", "saved-cast:fp8", "stochastic:4"])
@pytest.mark.parametrize("random", [nn.Dropout(0.2), nn.Dropout(0.0), DropPath(), Attends()], ids=lambda one: str(one))
def test_an_innocent_strategy_is_not_accused(spec: str, random: nn.Module) -> None:
    found = State(network(random), Stored(), batch()).of(STRATEGIES.create(spec))
    assert [one.check for one in found] == list(CHECKS)
    assert {one.outcome for one in found} <= set(OUTCOMES)
    assert not [one for one in found if one.outcome == "fault"]


@pytest.mark.parametrize("random", [nn.Dropout(0.4), nn.RReLU(), DropPath(), Attends()], ids=lambda one: str(one))
@pytest.mark.parametrize("reentrant", [False, True])
def test_masks_that_a_recomputation_draws_anew_are_named_by_their_module(random: nn.Module, reentrant: bool) -> None:
    x = batch()[0].requires_grad_()
    fresh = Planted(run_again(use_reentrant=reentrant, preserve_rng_state=False))
    found = {one.check: one for one in State(network(random), Stored(), (x, batch()[1])).of(fresh)}
    assert found["masks"].outcome == "fault"
    assert found["masks"].says.endswith("the random numbers of the forward pass in 0.2")
    kept = Planted(run_again(use_reentrant=reentrant))
    found = {one.check: one for one in State(network(random), Stored(), (x, batch()[1])).of(kept)}
    assert found["masks"].outcome == "exact"


def test_an_error_larger_than_what_lies_between_two_masks_accuses_nobody() -> None:
    """Two bits, and masks that drop hardly anything: in one step alone chance decides which is nearer."""
    for seed in range(12):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(8, 16), Attention(16), Attention(16), nn.Flatten(), nn.Linear(48, 5))
        inputs = torch.randn(2, 3, 8), torch.randint(5, (2,))
        found = {one.check: one for one in State(model, Stored(), inputs).of(STRATEGIES.create("stochastic:2"))}
        assert found["masks"].outcome in ("exact", "not applicable"), (seed, found["masks"].says)


@pytest.mark.parametrize("random", [nn.Dropout(0.4), Attends()], ids=lambda one: str(one))
def test_masks_drawn_anew_are_named_under_a_strategy_that_is_random_itself(random: nn.Module) -> None:
    def around(model: nn.Module) -> Iterator[None]:
        with STRATEGIES.create("stochastic:4").applied_to(model):
            yield from run_again(use_reentrant=False, preserve_rng_state=False)(model)

    fresh = Planted(around)
    fresh.random = True
    found = {one.check: one for one in State(network(random), Stored(), batch()).of(fresh)}
    assert found["masks"].says.endswith("the random numbers of the forward pass in 0.2")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_gradient_that_a_module_alone_leaves_not_finite_has_no_mask_of_its_forward_pass(value: float) -> None:
    def around(model: nn.Module) -> Iterator[None]:
        hook = model[0][2].register_full_backward_hook(lambda module, inputs, outputs: (inputs[0] * value,))
        yield
        hook.remove()

    found = {one.check: one for one in State(network(nn.Dropout(0.4)), Stored(), batch()).of(Planted(around))}
    assert found["masks"].outcome == "fault"
    assert found["masks"].says.endswith("the random numbers of the forward pass in 0.2")


def test_batch_norm_that_moves_twice_is_counted() -> None:
    found = {one.check: one for one in State(network(), Stored(), batch()).of(TorchCheckpoint())}
    assert found["buffers"].says.endswith("0.1.num_batches_tracked counts 2 where stored training counts 1")
    assert found["buffers"].amount == 3


def test_blocks_whose_inputs_need_no_gradient_get_none() -> None:
    found = {one.check: one for one in State(network(), Stored(), batch()).of(ReentrantCheckpoint())}
    assert found["gradients"].amount == len([*network()[:2].parameters()])


@pytest.mark.parametrize(("percent", "outcome"), [(100, "exact"), (0, "fault")])
def test_a_compiler_with_too_small_a_budget_draws_masks_anew(percent: int, outcome: str) -> None:
    torch._dynamo.reset()
    net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 5))
    found = {one.check: one for one in State(net, Stored(), batch()).of(CompileBudget(percent))}
    assert found["masks"].outcome == outcome
    if outcome == "fault":
        assert "0.weight" in found["masks"].says


def test_the_model_and_the_streams_are_left_as_they_were() -> None:
    model = network(nn.Dropout(0.3))
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def fails(model: nn.Module) -> Iterator[None]:
        yield
        model[0][1].running_mean.add_(1)
        torch.rand(1)
        raise ValueError("planted")

    given = batch()
    stream = torch.get_rng_state()
    with pytest.raises(ValueError, match="planted"):
        State(model, Stored(), given).of(Planted(fails))
    assert torch.equal(torch.get_rng_state(), stream)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
