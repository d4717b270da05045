"""A backward pass writes over the chain's output and its gradient where nobody holds them, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from gradbench.invertible import Chain, InvertibleBatchNorm, InvertibleLeakyReLU, SplitConvolution, State, storing
from gradbench.invertible.state import Owned
from tests.invertible.oracle import relative_error, state


def model() -> Chain:
    torch.manual_seed(2)
    return Chain(SplitConvolution(8), InvertibleBatchNorm(8), InvertibleLeakyReLU(0.5)).double()


@pytest.fixture
def owned(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, bool]]:
    """Return a list to which every walk of the outermost chain adds whether its output and gradient were owned."""
    seen: list[tuple[bool, bool]] = []
    walk = Chain.backward_step

    def noted(chain: Chain, y: State, dy: State, *rest: object) -> tuple[State, State]:
        seen.append((isinstance(y, Owned), isinstance(dy, Owned)))
        return walk(chain, y, dy, *rest)

    monkeypatch.setattr(Chain, "backward_step", noted)
    return seen


def loss(y: State) -> Tensor:
    return sum(((3 * t.flatten(1)).sin()).sum() for t in y)  # type: ignore[return-value]


def test_what_nobody_holds_is_written_over(owned: list[tuple[bool, bool]]) -> None:
    chain, x = model(), state(2, 4, 5, 5)
    loss(chain(*x)).backward()
    assert owned == [(True, True)]
    mine = [parameter.grad for parameter in chain.parameters()]
    chain.zero_grad()
    with storing(chain):
        loss(chain(*x)).backward()
    for gradient, parameter in zip(mine, chain.parameters(), strict=True):
        assert relative_error(gradient, parameter.grad) < 1e-12


def held_output(chain: Chain, x: State) -> object:
    y = chain(*x)
    loss(y).backward()
    return y


def held_alias(chain: Chain, x: State) -> object:
    def run() -> tuple[Tensor, Tensor]:
        y = chain(*x)
        return loss(y), y[0].detach()[:1]

    value, alias = run()
    value.backward()
    return alias


def saved_elsewhere(chain: Chain, x: State) -> object:
    weight = torch.ones(5, dtype=torch.float64, requires_grad=True)

    def run() -> tuple[Tensor, Tensor]:
        y = chain(*x)
        return loss(y), (y[1] * weight).sum()

    value, other = run()
    value.backward()
    (gradient,) = torch.autograd.grad(other, [weight])
    with torch.no_grad():
        assert relative_error(gradient, chain(*x)[1].sum((0, 1, 2))) < 1e-12
    return other


def retained_graph(chain: Chain, x: State) -> object:
    value = loss(chain(*x))
    value.backward(retain_graph=True)
    first = [parameter.grad.clone() for parameter in chain.parameters()]
    chain.zero_grad()
    value.backward(retain_graph=True)
    assert all(torch.equal(a, p.grad) for a, p in zip(first, chain.parameters(), strict=True))
    return value


def hooked_tensors(chain: Chain, x: State) -> object:
    with saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor):
        value = loss(chain(*x))
    value.backward()
    return value


@pytest.mark.parametrize("use", [held_output, held_alias, saved_elsewhere, retained_graph, hooked_tensors])
def test_an_output_that_somebody_may_see_again_stays(
    use: Callable[[Chain, State], object], owned: list[tuple[bool, bool]]
) -> None:
    use(model(), state(2, 4, 5, 5))
    assert owned
    assert not any(output for output, _ in owned)


def callers(chain: Chain, x: State) -> State:
    y = chain(*x)
    dy = tuple(torch.randn_like(tensor) for tensor in y)
    before = tuple(tensor.clone() for tensor in dy)
    torch.autograd.backward(y, dy)
    assert all(torch.equal(a, b) for a, b in zip(dy, before, strict=True))
    return dy


def hooked(chain: Chain, x: State) -> list[Tensor]:
    seen: list[Tensor] = []
    copies: list[Tensor] = []
    y = chain(*x)
    y[0].register_hook(seen.append)
    y[0].register_hook(lambda gradient: copies.append(gradient.clone()))
    loss(y).backward()
    assert torch.equal(seen[0], copies[0])
    return seen


def test_a_gradient_that_goes_two_ways_is_right_on_both() -> None:
    chain, x = model(), state(2, 4, 5, 5)
    other = torch.zeros(2, 4, 5, 5, dtype=torch.float64, requires_grad=True)
    y = chain(*x)
    (3 * (y[0] + other)).sin().sum().backward()
    with torch.no_grad():
        expected = 3 * (3 * y[0]).cos()
    assert relative_error(other.grad, expected) < 1e-12


@pytest.mark.parametrize("use", [callers, hooked])
def test_a_gradient_that_somebody_may_see_again_stays(
    use: Callable[[Chain, State], object], owned: list[tuple[bool, bool]]
) -> None:
    use(model(), state(2, 4, 5, 5))
    assert [gradient for _, gradient in owned] == [False]


def test_a_second_backward_pass_is_refused_by_autograd_itself() -> None:
    value = loss(model()(*state(2, 4, 5, 5)))
    value.backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        value.backward()


def test_a_backward_pass_that_was_broken_off_cannot_be_run_again_on_what_it_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    value = loss(model()(*state(2, 4, 5, 5)))
    with monkeypatch.context() as broken:
        broken.setattr(SplitConvolution, "backward_step", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            value.backward(inputs=None)
    with pytest.raises(RuntimeError, match="modified by an inplace operation|a second time"):
        value.backward()


@pytest.mark.parametrize("grad", [True, False])
def test_the_caller_s_input_stays_also_without_gradients(grad: bool) -> None:
    chain = Chain(InvertibleLeakyReLU(0.5), InvertibleBatchNorm(8), InvertibleLeakyReLU(0.5)).double()
    x = state(2, 4, 5, 5)
    before = tuple(tensor.detach().clone() for tensor in x)
    with torch.set_grad_enabled(grad):
        chain(*x)
        chain.run(tuple(tensor.detach() for tensor in x))
    assert all(torch.equal(a, b) for a, b in zip(x, before, strict=True))


def test_a_parameter_whose_gradient_is_the_gradient_that_comes_keeps_it() -> None:
    class Shift(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shift = nn.Parameter(torch.randn(2, 4, 5, 5, dtype=torch.float64))

        def forward(self, x1: Tensor, x2: Tensor) -> State:
            return x1 + self.shift, x2

        def inverse(self, y1: Tensor, y2: Tensor) -> State:
            return y1 - self.shift, y2

    chain = Chain(*model(), Shift())
    x = state(2, 4, 5, 5)
    loss(chain(*x)).backward()
    (mine,) = (p.grad.clone() for name, p in chain.named_parameters() if name.endswith("shift"))
    chain.zero_grad()
    with storing(chain):
        loss(chain(*x)).backward()
    assert relative_error(mine, chain.get_parameter("3.shift").grad) < 1e-12
