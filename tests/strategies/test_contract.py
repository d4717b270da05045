"""Applying a strategy leaves the model as it was, after an exception too."""

from __future__ import annotations

import pytest
import torch

from gradbench.strategies.base import Strategy
from tests.models.networks import images
from tests.strategies.subjects import SPECS, over, step, subject


@over(SPECS)
def test_the_model_is_left_as_it_was(name: str, strategy: Strategy) -> None:
    model, (x,) = subject(name), images(4, dtype=torch.float32)
    names = [key for key, _ in model.named_parameters()]
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    with torch.no_grad():
        before = model(x)
    with strategy.applied_to(model):
        assert [key for key, _ in model.named_parameters()] == names
    step(model, strategy, x)
    assert hooks == [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    assert not any("forward" in vars(m) for m in model.modules())
    assert torch.equal(model(x), before)


@over(SPECS)
def test_an_exception_inside_leaves_the_model_usable(name: str, strategy: Strategy) -> None:
    model, (x,) = subject(name), images(4, dtype=torch.float32)

    def fails() -> None:
        with strategy.applied_to(model):
            model(x)
            raise KeyError("planted")

    with pytest.raises(KeyError, match="planted"):
        fails()
    assert not any("forward" in vars(m) or m._forward_hooks for m in model.modules())
    assert all(gradient is not None for gradient in step(model, strategy, x).values())


@over(SPECS)
def test_a_forward_that_was_already_replaced_comes_back(name: str, strategy: Strategy) -> None:
    model, (x,) = subject(name, 1), images(4, dtype=torch.float32)
    replaced = {module: module.forward for module in model.modules()}
    for module, forward in replaced.items():
        module.forward = forward
    step(model, strategy, x)
    assert all(vars(module)["forward"] == forward for module, forward in replaced.items())
