"""The independent truth: a copy of the model run as ordinary autograd, on the same random numbers."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from gradbench.invertible import State, storing
from gradbench.invertible.state import as_state

__all__ = ["gradients_of", "relative_error", "same_as_stored", "state", "worst_error"]


def state(*shape: int, groups: int = 2, dtype: torch.dtype = torch.float64) -> State:
    """Return random tensors that ask for gradients."""
    return tuple(torch.randn(shape, dtype=dtype).requires_grad_() for _ in range(groups))


def relative_error(value: Tensor, truth: Tensor) -> float:
    return float((value - truth).detach().norm() / truth.detach().norm())


def _loss(output: Tensor | State) -> Tensor:
    """Return a loss whose gradient differs from entry to entry."""
    return sum((torch.sin(tensor) * tensor).sum() for tensor in as_state(output))  # type: ignore[return-value]


def gradients_of(model: nn.Module, x: State, loss: Callable[..., Tensor] = _loss) -> dict[str, Tensor | None]:
    """Return the gradients of all parameters and inputs after one forward and backward pass from a fixed seed."""
    leaves = tuple(tensor.detach().clone().requires_grad_(tensor.requires_grad) for tensor in x)
    torch.manual_seed(11)
    loss(model(*leaves)).backward()
    inputs = {f"input {index}": leaf.grad for index, leaf in enumerate(leaves)}
    return {name: parameter.grad for name, parameter in model.named_parameters()} | inputs


def worst_error(model: nn.Module, x: State, loss: Callable[..., Tensor] = _loss) -> float:
    """Return the largest relative error of a gradient; check that both passes leave the same state behind."""
    model.zero_grad()
    stored_model = copy.deepcopy(model)
    with storing(stored_model):
        stored = gradients_of(stored_model, x, loss)
    random_state = torch.get_rng_state()
    rebuilt = gradients_of(model, x, loss)
    assert torch.equal(random_state, torch.get_rng_state()), "the random stream has moved"
    buffers = zip(model.named_buffers(), stored_model.named_buffers(), strict=True)
    assert all(torch.equal(mine, other) for (_, mine), (_, other) in buffers), "a buffer has moved"
    assert {name for name, g in rebuilt.items() if g is None} == {name for name, g in stored.items() if g is None}
    # A gradient that is zero but for rounding is held against the others.
    least = 1e-6 * max(float(g.norm()) for g in stored.values() if g is not None)
    pairs = ((g, stored[name]) for name, g in rebuilt.items() if g is not None)
    return max(float((g - truth).norm() / truth.norm().clamp(min=least)) for g, truth in pairs)


def same_as_stored(model: nn.Module, x: State, tolerance: float = 1e-9) -> bool:
    return worst_error(model, x) < tolerance
