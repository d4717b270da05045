"""A chain gives the gradients of ordinary autograd in every situation that autograd knows, and keeps nothing else."""

from __future__ import annotations

import copy
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn

from gradbench.invertible import (
    AdditiveCoupling,
    Chain,
    InvertibleBatchNorm,
    InvertibleLeakyReLU,
    LayerError,
    SplitConvolution,
    storing,
)
from gradbench.measure.memory import LiveStorages
from tests.invertible.oracle import gradients_of, relative_error, same_as_stored, state, worst_error


class Shear(nn.Module):
    """A user's layer on two tensors: no Invertible, just forward and inverse, and a buffer that counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4, 1, 1, dtype=torch.float64))
        self.shift = nn.Parameter(torch.randn(2, 4, 3, 3, dtype=torch.float64))
        self.register_buffer("calls", torch.tensor(0))

    def forward(self, x1: Tensor, x2: Tensor) -> tuple[Tensor, Tensor]:
        self.calls += 1
        return x1 + torch.tanh(torch.conv2d(x2, self.weight)), x2 + self.shift

    def inverse(self, y1: Tensor, y2: Tensor) -> tuple[Tensor, Tensor]:
        x2 = y2 - self.shift
        return y1 - torch.tanh(torch.conv2d(x2, self.weight)), x2


class Turn(nn.Module):
    """A user's layer without parameters whose output and input are views of the same memory."""

    def forward(self, x1: Tensor, x2: Tensor) -> tuple[Tensor, Tensor]:
        return x2.transpose(2, 3), x1

    def inverse(self, y1: Tensor, y2: Tensor) -> tuple[Tensor, Tensor]:
        return y2, y1.transpose(2, 3)


def layers(channels: int = 8, slope: float = 0.5) -> list[nn.Module]:
    norm = InvertibleBatchNorm(channels)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return [SplitConvolution(channels), norm, InvertibleLeakyReLU(slope)]


def chain(depth: int = 2) -> Chain:
    return Chain(*(layer for _ in range(depth) for layer in layers())).double()


X = (2, 4, 3, 3)


@pytest.mark.parametrize("modules", [[Shear()], [Shear(), Turn(), Shear()], [Turn(), *layers()], [*layers(), Turn()]])
def test_a_users_module_with_forward_and_inverse_works_in_a_chain(modules: list[nn.Module]) -> None:
    assert same_as_stored(Chain(*modules).double(), state(*X))


def test_a_module_without_inverse_is_refused() -> None:
    with pytest.raises(TypeError, match="Conv2d has no inverse"):
        Chain(nn.Conv2d(3, 3, 1))


def test_chains_inside_chains_and_an_empty_chain() -> None:
    assert same_as_stored(Chain(chain(1), Chain(), Chain(chain(1), Turn())), state(*X))


def test_outputs_equal_stored_ones_bit_for_bit() -> None:
    model, x = chain().float(), state(*X, dtype=torch.float32)
    with storing(model):
        stored = model(*x)
    assert all(torch.equal(mine, other) for mine, other in zip(model(*x), stored, strict=True))


def test_a_module_used_twice_and_a_parameter_in_two_places() -> None:
    shared = chain(1)
    other = chain(1)
    next(iter(other)).f.weight = next(iter(shared)).g.weight
    assert same_as_stored(Chain(shared, other, shared), state(*X))


@pytest.mark.parametrize("frozen", ["weight", "bias", "f.weight", ""])
def test_frozen_parameters_get_no_gradient_and_the_others_get_theirs(frozen: str) -> None:
    model = chain()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.endswith(frozen))
    assert same_as_stored(model, state(*X))


def test_some_inputs_and_some_outputs_alone() -> None:
    x1, x2 = state(*X)
    assert same_as_stored(chain(), (x1.detach(), x2))
    assert worst_error(chain(), (x1, x2), lambda y: y[1].pow(3).sum()) < 1e-9


def test_autograd_grad_and_hooks() -> None:
    model, x = chain(), state(*X)
    weight = next(model.parameters())
    seen: list[Tensor] = []
    weight.register_hook(seen.append)
    loss = sum(t.pow(3).sum() for t in model(*x))
    (gradient,) = torch.autograd.grad(loss, [weight], retain_graph=True)
    (again,) = torch.autograd.grad(loss, [weight])
    assert torch.equal(gradient, again)
    assert torch.equal(seen[0], gradient)
    with storing(model):
        (stored,) = torch.autograd.grad(sum(t.pow(3).sum() for t in model(*x)), [weight])
    assert relative_error(gradient, stored) < 1e-9


def test_eval_uses_the_running_statistics_and_their_gradients() -> None:
    model = chain()
    for module in model.modules():
        if isinstance(module, InvertibleBatchNorm):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    assert same_as_stored(model.eval(), state(*X))
    x = state(*X)
    back = model.inverse(*model(*x))
    assert all(torch.allclose(a, b) for a, b in zip(back, x, strict=True))


def test_running_statistics_may_move_between_eval_and_its_backward_pass() -> None:
    model, x = chain().eval(), state(*X)
    expected = gradients_of(copy.deepcopy(model), x, lambda y: sum(t.pow(3).sum() for t in y))
    loss = sum(t.pow(3).sum() for t in model(*x))
    model.train()(*x)
    loss.backward()
    for name, parameter in model.named_parameters():
        assert relative_error(parameter.grad, expected[name]) < 1e-9, name


def test_no_grad_runs_the_layers_and_keeps_no_graph() -> None:
    model, x = chain(), state(*X)
    seen: list[str] = []
    next(iter(model)).register_forward_hook(lambda *_: seen.append("hook"))
    with torch.no_grad():
        assert not any(t.requires_grad for t in model(*x))
    assert seen == ["hook"]


def test_mode_changed_before_the_backward_pass() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            branch = nn.Sequential(nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4), nn.Dropout(0.5))
            self.chain = Chain(AdditiveCoupling(branch, nn.Conv2d(4, 4, 1)), *layers())

        def forward(self, *x: Tensor) -> tuple[Tensor, ...]:
            self.train()
            y: tuple[Tensor, ...] = self.chain(*x)
            self.eval()
            return y

    assert same_as_stored(Net().double(), state(*X))


class Blows(nn.Module):
    """A user's layer that overflows."""

    def forward(self, x1: Tensor, x2: Tensor) -> tuple[Tensor, Tensor]:
        return x1 * 1e300 * 1e300, x2

    def inverse(self, y1: Tensor, y2: Tensor) -> tuple[Tensor, Tensor]:
        return y1 / 1e300 / 1e300, y2


@pytest.mark.parametrize("stored", [False, True])
def test_values_that_are_not_finite_name_their_layer_at_the_first_forward_pass(stored: bool) -> None:
    model = Chain({"block0": chain(1), "block1": Chain({"inside": Blows()})})
    with (
        pytest.raises(LayerError, match="layer 'block1.inside': gives values that are not finite"),
        storing(model) if stored else nullcontext(),
    ):
        model(*state(*X))
    calm = chain(1)
    calm(*state(*X))
    huge = tuple(tensor * float("inf") for tensor in state(*X))
    calm(*huge)  # a training that diverges later is a result, and the device is not waited for


def test_differentiating_twice_is_refused_in_a_sentence() -> None:
    model, x = chain(), state(*X)
    loss = sum(t.pow(3).sum() for t in model(*x))
    with pytest.raises(RuntimeError, match="cannot be differentiated twice: use storing"):
        torch.autograd.grad(loss, x, create_graph=True)


def test_parameters_and_outputs_changed_before_the_backward_pass_are_noticed() -> None:
    model, x = chain(), state(*X)
    y = model(*x)
    with torch.no_grad():
        next(model.parameters()).mul_(2)
    with pytest.raises(RuntimeError, match="a parameter of the chain was changed"):
        y[0].sum().backward()
    y = model(*x)
    y[0].detach().mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y[0].sum().backward()
    weights = {name: parameter * 2 for name, parameter in model.named_parameters()}
    y = torch.func.functional_call(model, weights, x)
    with pytest.raises(RuntimeError, match="a parameter of the chain was changed or replaced"):
        y[0].sum().backward()


def test_nothing_of_the_caller_is_written_to() -> None:
    model, x = chain(), state(*X)
    y = model(*x)
    dy = tuple(torch.randn_like(tensor) for tensor in y)
    mine = [*x, *y, *dy]
    before = [tensor.detach().clone() for tensor in mine]
    torch.autograd.backward(y, dy)
    assert all(torch.equal(tensor, old) for tensor, old in zip(mine, before, strict=True))


def test_storing_can_be_nested_and_ends_after_an_exception() -> None:
    model = Chain(chain(1))

    def is_stored() -> bool:
        return "ChainNode" not in type(model(*state(*X))[0].grad_fn).__name__

    with storing(model):
        with pytest.raises(KeyError), storing(model):
            raise KeyError
        assert is_stored()
    assert not is_stored()


def test_nothing_is_held_after_the_backward_pass() -> None:
    model, x = chain(4), state(*X)
    with LiveStorages() as live:
        live.ignore(*model.parameters(), *model.buffers())
        y = model(*x)
        torch.autograd.backward(y, [torch.ones_like(tensor) for tensor in y])
        outputs = sum(tensor.untyped_storage().nbytes() for tensor in y)
        gradients = sum(tensor.grad.untyped_storage().nbytes() for tensor in (*model.parameters(), *x))
        assert live.now == outputs + gradients


def test_an_exception_in_the_backward_pass_leaves_nothing() -> None:
    class Broken(Turn):
        def inverse(self, y1: Tensor, y2: Tensor) -> tuple[Tensor, Tensor]:
            raise ArithmeticError

    model = Chain(*layers(), Broken(), *layers()).double()
    with LiveStorages() as live:
        live.ignore(*model.parameters(), *model.buffers())
        y = model(*state(*X))
        with pytest.raises(ArithmeticError):
            torch.autograd.backward(y, [torch.ones_like(tensor) for tensor in y])
        del y
        assert live.now == 0


@pytest.mark.parametrize("stored", [False, True])
def test_memory_does_not_grow_with_depth(stored: bool) -> None:
    def peak(depth: int) -> tuple[int, int]:
        model, x = chain(depth).float(), state(32, 4, 8, 8, dtype=torch.float32)
        with LiveStorages() as live:
            live.ignore(*model.parameters(), *model.buffers())
            if stored:
                with storing(model):
                    y = model(*x)
            else:
                y = model(*x)
            kept = live.now
            torch.autograd.backward(y, [torch.ones_like(tensor) for tensor in y])
            weights = sum(parameter.grad.untyped_storage().nbytes() for parameter in model.parameters())
            return live.peak - weights, kept

    (shallow, kept_shallow), (deep, kept_deep) = peak(2), peak(16)
    statistics = 14 * 3 * 8 * 4  # mean, inverse deviation and scale of each channel
    assert (deep - shallow <= statistics + 0.02 * shallow) is not stored
    assert (kept_deep - kept_shallow <= statistics) is not stored


def test_no_more_than_five_states_are_alive_at_once() -> None:
    """They are the output, its gradient, and in a layer the value, the gradient that comes and the one that goes."""
    shape = (32, 4, 8, 8)
    model, x = Chain(*(chain(1).float() for _ in range(4))), state(*shape, dtype=torch.float32)
    with LiveStorages() as live:
        y = model(*x)
        torch.autograd.backward(y, [torch.ones_like(tensor) for tensor in y])
    one = sum(tensor.untyped_storage().nbytes() for tensor in y)
    assert live.peak < 5.2 * one


def test_autocast_of_the_forward_pass_is_that_of_the_backward_pass() -> None:
    model, x = chain(), state(*X, dtype=torch.float32)
    model = model.float()
    stored_model = copy.deepcopy(model)

    def loss(model: nn.Module) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return sum(t.float().pow(2).sum() for t in model(*x))  # type: ignore[return-value]

    with storing(stored_model):
        loss(stored_model).backward()
    loss(model).backward()
    for (name, mine), other in zip(model.named_parameters(), stored_model.parameters(), strict=True):
        # bfloat16 rounds at 2^-9; in float32 the two would agree to 1e-5.
        assert relative_error(mine.grad, other.grad) < 0.05, name
    with torch.autocast("cpu", torch.bfloat16):
        plain = sum(t.pow(2).sum() for t in chain().float()(*x))
    plain.backward()


def test_autocast_around_the_backward_pass_alone_changes_nothing() -> None:
    model, x = chain().float(), state(*X, dtype=torch.float32)
    plain = gradients_of(model, x, lambda y: y[0].pow(2).sum())
    model.zero_grad()
    loss = model(*x)[0].pow(2).sum()
    with torch.autocast("cpu", torch.bfloat16):
        loss.backward()
    assert all(torch.equal(parameter.grad, plain[name]) for name, parameter in model.named_parameters())


def test_a_weight_cast_inside_a_chain_keeps_its_gradient_outside() -> None:
    model = Chain(SplitConvolution(8))
    convolution = next(iter(model)).f
    x = state(*X, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y = model(*x)
        loss = convolution(x[0]).float().sum()
    loss.backward()
    assert y[0].requires_grad
    assert convolution.weight.grad is not None


def test_a_copy_of_a_chain_has_its_own_layers() -> None:
    model = Chain({"first": chain(1), "user": Shear()})
    twin = copy.deepcopy(model)
    y = twin(*state(*X))
    sum(tensor.sum() for tensor in y).backward()
    assert all(parameter.grad is None for parameter in model.parameters())
    assert "first.0.f.weight" in model.state_dict()
    assert len(model) == 2
