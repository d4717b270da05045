"""The arithmetic that everything is measured in, set explicitly and never an accident of a default."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gradbench.strategies.base import Strategy

__all__ = [
    "PRECISIONS",
    "InPrecision",
    "Precision",
    "deterministic_convolutions",
    "use_plain_float32",
    "use_precision",
]


@dataclass(frozen=True)
class Precision:
    """One arithmetic.

    Attributes:
        name: as in `train.precision`.
        dtype: of weights, images and what is not cast.
        autocast: what convolutions and products are cast to, None for nothing.
        tf32: whether convolutions and products of float32 may round what enters them to ten bits of mantissa.
        loss_scale: what the loss is multiplied by for the backward pass, against underflow, and the gradients divided
            by at its end; a power of two, which rounds nothing.
    """

    name: str
    dtype: torch.dtype = torch.float32
    autocast: torch.dtype | None = None
    tf32: bool = False
    loss_scale: float = 1.0

    def unavailable(self, device: torch.device) -> str | None:
        """Return None, or why this device does not have it, in one sentence."""
        if device.type == "cuda":
            if self.tf32 and torch.cuda.get_device_capability(device) < (8, 0):
                return "tf32 needs a GPU of compute capability 8.0 or newer"
            return None
        if self.tf32:
            return "tf32 is an arithmetic of GPUs: a CPU has none of it"
        if self.autocast == torch.float16:
            return "float16 autocast is measured on GPUs only: a CPU computes it by way of float32"
        return None


PRECISIONS = {
    precision.name: precision
    for precision in (
        Precision("float64", torch.float64),
        Precision("float32"),
        Precision("tf32", tf32=True),
        Precision("bfloat16", autocast=torch.bfloat16),
        Precision("float16", autocast=torch.float16, loss_scale=2.0**10),
    )
}


class InPrecision(Strategy):
    """A strategy in an arithmetic: the same under autocast, with a loss that is scaled where that needs it.

    The dtype of weights and images and the switch of TF32 are the caller's (`use_precision`).

    Args:
        strategy: how the backward pass gets its activations.
        precision: the arithmetic.
    """

    def __init__(self, strategy: Strategy, precision: Precision) -> None:
        self.strategy, self.precision = strategy, precision
        self.rebuilds = strategy.rebuilds
        self.random = strategy.random
        self.compiles = strategy.compiles
        self.foreign = strategy.foreign
        self.chunks = strategy.chunks

    @property
    def name(self) -> str:
        """The strategy's own name."""
        return self.strategy.name

    def applies_to(self, model: nn.Module) -> str | None:
        """Return what the strategy says."""
        return self.strategy.applies_to(model)

    def finds_nothing(self, model: nn.Module, forward: Callable[[], object]) -> str | None:
        """Return what the strategy says."""
        return self.strategy.finds_nothing(model, forward)

    def notes(self, model: nn.Module) -> list[str]:
        """Return what the strategy says."""
        return self.strategy.notes(model)

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        """Apply the strategy, under autocast where the arithmetic has it."""
        if self.precision.autocast is None:
            with self.strategy.applied_to(model):
                yield
            return
        device = next(model.parameters()).device.type
        with (
            self.strategy.applied_to(model),
            torch.autocast(device, self.precision.autocast),
            _scaled(model, self.precision.loss_scale),
        ):
            yield

    def on_parts(self) -> Strategy:
        """Return the strategy's own for parts of a model, which runs in the arithmetic as a whole."""
        return self.strategy.on_parts()


class _ScaleGradient(torch.autograd.Function):
    """The identity, whose gradient is multiplied."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
        return dy * ctx.factor, None


@contextmanager
def _scaled(model: nn.Module, factor: float) -> Iterator[None]:
    """Multiply the gradient that enters the model, and divide that of each parameter; the output becomes float32."""
    if factor == 1:
        yield
        return
    hooks = [p.register_hook(lambda gradient: gradient / factor) for p in model.parameters() if p.requires_grad]
    hooks.append(model.register_forward_hook(lambda module, x, y: _ScaleGradient.apply(y.float(), factor)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def use_plain_float32() -> None:
    """Switch TF32 and algorithm search off for this process.

    TF32 convolutions raise the gradient error of reconstruction by more than an order of magnitude; a search among
    algorithms lets two runs of the same step differ.
    """
    # torch 2.9 alone advises against these switches, which later versions keep.
    warnings.filterwarnings("ignore", message="Please use the new API settings to control TF32")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def use_precision(precision: Precision, cudnn_benchmark: bool = False) -> None:
    """Set this process up for one arithmetic, deterministic unless the fastest convolutions are asked for.

    Args:
        precision: the arithmetic.
        cudnn_benchmark: whether cuDNN times its convolutions, of each shape once in a process, and takes the fastest,
            which may add in another order at every step.
    """
    use_plain_float32()
    torch.backends.cudnn.benchmark = cudnn_benchmark
    torch.backends.cudnn.deterministic = not cudnn_benchmark
    torch.backends.cuda.matmul.allow_tf32 = precision.tf32
    torch.backends.cudnn.allow_tf32 = precision.tf32


@contextmanager
def deterministic_convolutions() -> Iterator[None]:
    """Let a step be the same bit for bit inside, whichever convolutions cuDNN takes outside."""
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic
    cudnn.benchmark, cudnn.deterministic = False, True
    try:
        yield
    finally:
        cudnn.benchmark, cudnn.deterministic = before
