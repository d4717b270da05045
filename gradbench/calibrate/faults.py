"""Faults that happen in the field, planted one by one: which check finds each, and does it name the layer?

The network is convolution, batch norm, tanh, twice, then dropout and a linear layer, in float32. Each fault is held
against the same network without it, for which no check may speak.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gradbench.calibrate.planted import Planted
from gradbench.measure.gradients import Comparison, measure_gradients
from gradbench.measure.verdict import EXCESS_OF_ROUNDING, verdict
from gradbench.strategies.base import Strategy
from gradbench.strategies.stored import Stored

__all__ = ["CHECKS", "Found", "checks", "find_faults"]

MINIBATCHES, BATCH = 8, 16
CLEAN = "no fault"


@dataclass(frozen=True)
class Found:
    """One planted fault.

    Attributes:
        fault: what was planted.
        check: the check that must find it; empty for the network without a fault.
        layer: the parameter or buffer that it must name.
        caught: what each check that spoke named.
        ok: whether that check named that layer; without a fault, whether none spoke.
    """

    fault: str
    check: str
    layer: str
    caught: dict[str, str]
    ok: bool


def _nearest_to_output(found: Comparison, faulty: Callable[[int], bool]) -> str:
    """The last parameter of the model's order that is faulty: errors travel from there towards the image."""
    return next((one.parameter for i, one in reversed(list(enumerate(found.gradients))) if faulty(i)), "")


#: Each check by the name of its column, with what it names in a comparison: an empty text where it is content.
CHECKS: dict[str, Callable[[Comparison], str]] = {
    "missing_gradients": lambda found: _nearest_to_output(found, lambda i: found.gradients[i].missing),
    "zeroed_channels": lambda found: _nearest_to_output(found, lambda i: bool(found.gradients[i].zeroed_channels)),
    "changed_buffers": lambda found: next(iter(found.changed_buffers), ""),
    "repeat_error": lambda found: "every layer" if found.repeat_error > 0 else "",
    "cosine": lambda found: _nearest_to_output(found, lambda i: found.gradients[i].cosine_high < 0),
    "excess": lambda found: _nearest_to_output(
        found, lambda i: found.gradients[i].excess > EXCESS_OF_ROUNDING and not found.gradients[i].identical
    ),
    "verdict": lambda found: _nearest_to_output(
        found, lambda i: verdict(found.gradients[i]) in ("comparable", "harmful", "broken")
    ),
}


def checks(found: Comparison) -> dict[str, str]:
    """Return what each check that has something to say names."""
    return {name: named for name, check in CHECKS.items() if (named := check(found))}


def find_faults(seed: int) -> Iterator[Found]:
    """Plant each fault and yield what was found."""
    torch.manual_seed(seed)
    model = _network()
    batches = [(torch.randn(BATCH, 3, 8, 8), torch.randint(4, (BATCH,))) for _ in range(MINIBATCHES)]
    planted = [(CLEAN, "", "", Planted(lambda name, g: g, CLEAN)), *_faults()]
    for fault, check, layer, strategy in planted:
        found = measure_gradients(model, Stored(), [strategy], batches, truth_batches=MINIBATCHES)
        caught = checks(found[strategy.name])
        yield Found(fault, check, layer, caught, caught.get(check, "") == layer if check else not caught)


def _network() -> nn.Sequential:
    layers = {
        "convolution0": nn.Conv2d(3, 8, 3, padding=1, bias=False),
        "norm0": nn.BatchNorm2d(8),
        "tanh0": nn.Tanh(),
        "convolution1": nn.Conv2d(8, 8, 3, padding=1, bias=False),
        "norm1": nn.BatchNorm2d(8),
        "tanh1": nn.Tanh(),
        "pooling": nn.AdaptiveAvgPool2d(2),
        "flatten": nn.Flatten(),
        "dropout": nn.Dropout(0.5),
        "linear": nn.Linear(32, 4),
    }
    model = nn.Sequential()
    for name, layer in layers.items():
        model.add_module(name, layer)
    return model


class _Altered(Strategy):
    """Stored training inside a context that changes the model."""

    def __init__(self, name: str, context: Callable[[nn.Module], AbstractContextManager[None]]) -> None:
        self._name, self.context = name, context

    @property
    def name(self) -> str:
        return self._name

    def applied_to(self, model: nn.Module) -> AbstractContextManager[None]:
        return self.context(model)


def _faults() -> Iterator[tuple[str, str, str, Strategy]]:
    """Yield each fault, the check that must find it, the layer that it must name, and the strategy that has it."""
    weight = "convolution1.weight"

    def gradient(fault: str, check: str, change: Callable[[Tensor], Tensor | None]) -> tuple[str, str, str, Strategy]:
        return fault, check, weight, Planted(lambda name, g: change(g) if name == weight else g, fault)

    yield gradient("the sign of one layer flipped", "cosine", lambda g: -g)
    yield gradient("one gradient missing", "missing_gradients", lambda g: None)
    yield gradient("one channel zeroed", "zeroed_channels", lambda g: g * (torch.arange(len(g)) != 2).view(-1, 1, 1, 1))
    contexts = (
        ("a batch norm gradient without its mean term", "excess", weight, _norm_without_mean_term),
        ("a running statistic moved twice", "changed_buffers", "norm1.running_mean", _stale_statistics),
        ("a dropout mask drawn anew in the backward pass", "excess", "norm1.bias", _new_mask),
        ("convolutions in TF32 where float32 was promised", "excess", "linear.bias", _ten_bits),
    )
    for fault, check, layer, context in contexts:
        yield fault, check, layer, _Altered(fault, context)


@contextmanager
def _norm_without_mean_term(model: nn.Module) -> Iterator[None]:
    """Add to the gradient of a norm's input what its mean over the batch took away, gain * mean(dy)."""

    def hook(norm: nn.Module, dx: tuple[Tensor, ...], dy: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x = seen[0]
        deviation = (x.var((0, 2, 3), correction=0) + norm.eps).sqrt()
        lost = (norm.weight / deviation * dy[0].mean((0, 2, 3))).view(1, -1, 1, 1)
        return (dx[0] + lost,)

    seen: list[Tensor] = []
    forward = model.norm1.register_forward_pre_hook(lambda norm, x: seen.__setitem__(slice(None), [x[0].detach()]))
    backward = model.norm1.register_full_backward_hook(hook)
    try:
        yield
    finally:
        forward.remove()
        backward.remove()


@contextmanager
def _stale_statistics(model: nn.Module) -> Iterator[None]:
    """Run a norm once more after the step, as a careless recomputation does."""
    forward = model.norm1.register_forward_hook(_again)
    try:
        yield
    finally:
        forward.remove()


def _again(norm: nn.Module, x: tuple[Tensor, ...], y: Tensor) -> None:
    with torch.no_grad():
        F.batch_norm(x[0], norm.running_mean, norm.running_var, training=True, momentum=norm.momentum)


@contextmanager
def _new_mask(model: nn.Module) -> Iterator[None]:
    """Run the dropout again in the backward pass, without the random numbers of the forward pass."""
    model.dropout.forward = partial(checkpoint, model.dropout.forward, use_reentrant=False, preserve_rng_state=False)
    try:
        yield
    finally:
        del model.dropout.forward


@contextmanager
def _ten_bits(model: nn.Module) -> Iterator[None]:
    """Round what enters each convolution to the ten bits of TF32's mantissa, as a GPU does."""
    hooks = [
        part.register_forward_pre_hook(lambda part, x: (_rounded(x[0]),))
        for part in model.modules()
        if isinstance(part, nn.Conv2d)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _rounded(x: Tensor) -> Tensor:
    """Return x rounded to ten bits of mantissa, with the gradient of the identity."""
    mantissa, exponent = torch.frexp(x.detach())
    return x + (torch.ldexp((mantissa * 2**11).round() / 2**11, exponent) - x.detach())
