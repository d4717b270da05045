"""What the contract is tested on: every model of the table, and a user's own, with every strategy that applies.

A strategy of the table that is our own is held to exact gradients unless it is named in `INEXACT`, and a model or
strategy that is new in a table is tested without a change here.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from gradbench.models import MODELS
from gradbench.registry import Entry, Numbers
from gradbench.strategies import STRATEGIES
from gradbench.strategies.base import Strategy
from tests.models.networks import images, loss, network

__all__ = ["EXACT", "INEXACT", "POOLING", "SPECS", "applies", "over", "relative", "step", "stored_and", "subject"]

#: Strategies whose gradients are approximations by design.
INEXACT = ("accumulate", "approximate", "naive-quantize", "saved-cast", "stochastic", "decoupled", "noisy-reconstruct")


def _spellings(name: str, entry: Entry) -> list[str]:
    """Return the name with an argument, and without where it may stand alone."""
    if not entry.argument:
        return [name]
    numbers = entry.numbers or Numbers(0)
    argument = entry.allowed[-1] if entry.allowed else numbers.low if numbers.whole else 0.001
    return [name, f"{name}:{argument}"] if entry.optional else [f"{name}:{argument}"]


#: One or two of each strategy. What others' code does is measured, not promised; to compile takes long.
SPECS = [
    spec
    for name, entry in STRATEGIES.items()
    if ".adapters." not in entry.target and name != "compile"
    for spec in _spellings(name, entry)
]
#: The models on which every strategy is tested, and the strategies that are tested on every model.
FEW_MODELS = ("hybrid", "plain")
EVERYWHERE = ("stored", "reconstruct", "checkpoint", "inplace-abn", "approximate:8", "naive-quantize:8")
EXACT = [spec for spec in SPECS if spec.partition(":")[0] not in INEXACT]
#: Poolings of both kinds for those that may have them; others have their own.
POOLING = {
    "resnet": ("max",),
    "revnet": ("max", "max"),
    "irevnet": ("channel",),
    "layerwise": ("channel",),
    "hybrid": ("channel", "batch"),
}


class Plain(nn.Sequential):
    """A user's network without any invertible part, with running statistics and both kinds of rectifier."""

    def __init__(self) -> None:
        super().__init__(
            nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
            nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.LeakyReLU(0.1)),
            nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(inplace=True), nn.AvgPool2d(2)),
            nn.Flatten(),
            nn.Linear(4 * 16, 5),
        )


def subject(name: str, depth: int = 3, **settings: object) -> nn.Module:
    """Return a small network in float32: a layer-wise one no deeper than its error law allows."""
    if name == "plain":
        return Plain()
    layers = 2 if name in ("resnet", "revnet") else 1
    chosen = {"name": name, "depth": depth, "width": 4, "pooling": POOLING.get(name), "branch_layers": layers}
    return network(**(chosen | settings))


@cache
def applies(name: str, spec: str) -> bool:
    """Return whether the strategy applies to the model."""
    return STRATEGIES.create(spec).applies_to(subject(name, 1)) is None


def over(specs: list[str], models: tuple[str, ...] = (*MODELS, "plain")) -> pytest.MarkDecorator:
    """Parametrise a test over the models and the strategies of `specs` that apply to each."""
    pairs = [
        pytest.param(name, STRATEGIES.create(spec), id=f"{name}-{spec}")
        for name in models
        for spec in specs
        if (name in FEW_MODELS or spec in EVERYWHERE) and applies(name, spec)
    ]
    return pytest.mark.parametrize(("name", "strategy"), pairs)


def step(
    model: nn.Module,
    strategy: Strategy,
    x: Tensor,
    around: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> dict[str, Tensor | None]:
    """Return every parameter's gradient after one pass from a fixed random state; `around` surrounds the forward."""
    model.zero_grad(set_to_none=True)
    torch.manual_seed(5)
    with strategy.applied_to(model):
        for part in x.chunk(strategy.chunks):
            with around():
                value = loss(model(part).float() if around is not nullcontext else model(part)) / strategy.chunks
            value.backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def stored_and(
    model: nn.Module,
    strategy: Strategy,
    x: Tensor | None = None,
    around: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> tuple[nn.Module, dict[str, Tensor | None], dict[str, Tensor | None]]:
    """Return a twin of `model` after a stored step, its gradients, and the gradients of a step with `strategy`."""
    x = images(4)[0].to(next(model.parameters()).dtype) if x is None else x
    twin = copy.deepcopy(model)
    return twin, step(twin, STRATEGIES.create("stored"), x, around), step(model, strategy, x, around)


def relative(found: dict[str, Tensor | None], stored: dict[str, Tensor | None]) -> float:
    """Return the largest relative error of a gradient; one that is missing, or should be, is infinitely wrong.

    A gradient that is zero but for rounding is held against the others.
    """
    least = 1e-6 * max((float(gradient.norm()) for gradient in stored.values() if gradient is not None), default=0.0)
    worst = 0.0
    for name, gradient in stored.items():
        mine = found[name]
        if (mine is None) != (gradient is None):
            return float("inf")
        if mine is not None and gradient is not None and (gradient.any() or mine.any()):
            worst = max(worst, float((mine - gradient).norm()) / max(float(gradient.norm()), least))
    return worst
