"""Faults that happen in the field, planted one by one: which check finds each, and does `explain` name the layer?

The network is convolution, batch norm, tanh, twice, then dropout and a linear layer, in float32. Each fault is that of
a layer, and held against the same network without it, for which no check may speak.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gradbench.measure.explain import explain
from gradbench.measure.gradients import Comparison, measure_gradients
from gradbench.measure.verdict import EXCESS_OF_ROUNDING, verdict
from gradbench.strategies.base import Strategy
from gradbench.strategies.forward import forward_replaced
from gradbench.strategies.stored import Stored

__all__ = ["CHECKS", "Found", "checks", "find_faults"]

MINIBATCHES, BATCH = 8, 16
CLEAN = "no fault"
#: Some faults are small; without one every gradient is exact.
RIGHT = ("undefined", "exact", "rounding")


@dataclass(frozen=True)
class Found:
    """One planted fault.

    Attributes:
        fault: what was planted.
        check: the check that must find it; empty for the network without a fault.
        names: the parameter or buffer that it must name.
        caught: what each check that spoke named.
        layer: the layer that has the fault.
        blamed: the layer that `explain` names.
        ok: whether check and `explain` name what they must; without a fault, whether none speaks.
    """

    fault: str
    check: str
    names: str
    caught: dict[str, str]
    layer: str
    blamed: str
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
    for fault in _FAULTS:
        layers = [part for name, part in model.named_children() if fault.has(name)]
        strategy = _Faulty(fault, layers)
        found = measure_gradients(model, Stored(), [strategy], batches, truth_batches=MINIBATCHES)
        caught = checks(found[strategy.name])
        blamed = explain(model, F.cross_entropy, batches[:4], strategy, right=RIGHT, truth_batches=4).guilty
        named = caught.get(fault.check, "") == fault.names if fault.check else not caught
        yield Found(fault.what, fault.check, fault.names, caught, fault.layer, blamed, named and blamed == fault.layer)


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


@dataclass(frozen=True)
class _Fault:
    """A fault of a layer, or of all of its kind: the one next to the output is to blame then.

    Attributes:
        context: of one layer, around forward and backward pass.
        everywhere: whether every layer has it whose name begins with that of `layer` without its number.
    """

    what: str
    check: str
    names: str
    layer: str
    context: Callable[[nn.Module], AbstractContextManager[None]]
    everywhere: bool = False

    def has(self, name: str) -> bool:
        """Return whether the layer of this name has it."""
        return name.startswith(self.layer[:-1]) if self.everywhere else name == self.layer


class _Faulty(Strategy):
    """Stored training with a fault in some layers."""

    def __init__(self, fault: _Fault, layers: Sequence[nn.Module]) -> None:
        self.fault, self.layers = fault, layers

    @property
    def name(self) -> str:
        return self.fault.what

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        inside = set(model.modules())
        with ExitStack() as contexts:
            for layer in self.layers:
                if layer in inside:
                    contexts.enter_context(self.fault.context(layer))
            yield


def _changed(change: Callable[[Tensor], Tensor | None]) -> Callable[[nn.Module], AbstractContextManager[None]]:
    """Return the context that changes the gradient of a layer's weight when all has run."""

    @contextmanager
    def context(layer: nn.Module) -> Iterator[None]:
        yield
        layer.weight.grad = change(layer.weight.grad)

    return context


def _without_one_channel(gradient: Tensor) -> Tensor:
    return gradient * (torch.arange(len(gradient)) != 2).view(-1, 1, 1, 1)


@contextmanager
def _without_mean_term(norm: nn.Module) -> Iterator[None]:
    """Add to the gradient of a norm's input what its mean over the batch took away, gain * mean(dy)."""

    def hook(module: nn.Module, dx: tuple[Tensor, ...], dy: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x = seen[0]
        deviation = (x.var((0, 2, 3), correction=0) + norm.eps).sqrt()
        lost = (norm.weight / deviation * dy[0].mean((0, 2, 3))).view(1, -1, 1, 1)
        return (dx[0] + lost,)

    seen: list[Tensor] = []
    forward = norm.register_forward_pre_hook(lambda norm, x: seen.__setitem__(slice(None), [x[0].detach()]))
    backward = norm.register_full_backward_hook(hook)
    try:
        yield
    finally:
        forward.remove()
        backward.remove()


@contextmanager
def _moved_twice(norm: nn.Module) -> Iterator[None]:
    """Run a norm once more after the step, as a careless recomputation does."""
    forward = norm.register_forward_hook(_again)
    try:
        yield
    finally:
        forward.remove()


def _again(norm: nn.Module, x: tuple[Tensor, ...], y: Tensor) -> None:
    with torch.no_grad():
        F.batch_norm(x[0], norm.running_mean, norm.running_var, training=True, momentum=norm.momentum)


@contextmanager
def _new_mask(dropout: nn.Module) -> Iterator[None]:
    """Run the dropout again in the backward pass, without the random numbers of the forward pass."""
    again = partial(checkpoint, dropout.forward, use_reentrant=False, preserve_rng_state=False)
    with forward_replaced(dropout, again):
        yield


@contextmanager
def _ten_bits(convolution: nn.Module) -> Iterator[None]:
    """Round what enters the convolution to the ten bits of TF32's mantissa, as a GPU does."""
    hook = convolution.register_forward_pre_hook(lambda layer, x: (_rounded(x[0]),))
    try:
        yield
    finally:
        hook.remove()


def _rounded(x: Tensor) -> Tensor:
    """Return x rounded to ten bits of mantissa, with the gradient of the identity."""
    mantissa, exponent = torch.frexp(x.detach())
    return x + (torch.ldexp((mantissa * 2**11).round() / 2**11, exponent) - x.detach())


_WEIGHT = "convolution1.weight"
_FAULTS = (
    _Fault(CLEAN, "", "", "", _changed(lambda gradient: gradient)),
    _Fault("the sign of one layer flipped", "cosine", _WEIGHT, "convolution1", _changed(torch.neg)),
    _Fault("one gradient missing", "missing_gradients", _WEIGHT, "convolution1", _changed(lambda gradient: None)),
    _Fault("one channel zeroed", "zeroed_channels", _WEIGHT, "convolution1", _changed(_without_one_channel)),
    _Fault("a batch norm gradient without its mean term", "excess", _WEIGHT, "norm1", _without_mean_term),
    _Fault("a running statistic moved twice", "changed_buffers", "norm1.running_mean", "norm1", _moved_twice),
    _Fault("a dropout mask drawn anew in the backward pass", "excess", "norm1.bias", "dropout", _new_mask),
    _Fault("convolutions in TF32 where float32 was promised", "excess", "linear.bias", "convolution1", _ten_bits, True),
)
