"""Each block is trained with a gradient that a small network predicts from the block's output alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from gradbench.invertible import storing
from gradbench.strategies.base import Strategy
from gradbench.strategies.forward import forward_replaced
from gradbench.strategies.recompute import blocks

__all__ = ["Decoupled", "Synthesizer"]


class Decoupled(Strategy):
    """Decoupled neural interfaces with synthetic gradients that know no labels (the source's unconditioned form).

    A boundary lies before each block of the outermost chains and sequences but the first. In the backward pass the
    gradient that arrives at a boundary trains its synthesizer (it is itself made from a prediction further up: the
    source's bootstrapping), and the synthesizer's prediction goes on in its place. Behind the last boundary gradients
    are exact. At the first step every prediction is zero, and so are all gradients below.

    Synthesizers belong to this object, are trained by every backward pass in its context, and stay from one context to
    the next. The model is left as it was. In the source a block need not wait for those above, and can be updated and
    forgotten at once; here one process runs the whole graph, so that what is kept is what stored training keeps.

    Source: Jaderberg et al., Decoupled neural interfaces using synthetic gradients.
    """

    def __init__(self) -> None:
        self._synthesizers: WeakKeyDictionary[nn.Module, dict[int, Synthesizer]] = WeakKeyDictionary()

    @property
    def name(self) -> str:
        return "decoupled"

    def applies_to(self, model: nn.Module) -> str | None:
        if len(blocks(model)) > 1:
            return None
        return f"{type(model).__name__} has no chain or nn.Sequential of several blocks that could be decoupled"

    def notes(self, model: nn.Module) -> list[str]:
        return ["synthesizers learn in every backward pass, those of measurements among them; nothing is kept less"]

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        with storing(model), ExitStack() as replaced:
            for block in blocks(model)[1:]:
                own = self._synthesizers.setdefault(block, {})
                replaced.enter_context(forward_replaced(block, partial(_behind_boundary, own, block.forward)))
            yield


class Synthesizer:
    """Predicts the gradient of an activation from the activation, by two hidden layers as wide as it is.

    Layers are 5x5 convolutions for (N, C, H, W), else linear in the last axis; the last begins at zero, as in the
    source. Targets are divided by their running root mean square, since Adam's steps do not shrink with them.

    Args:
        like: an activation.
        learning_rate: of Adam.
    """

    def __init__(self, like: Tensor, learning_rate: float = 1e-3) -> None:
        width = like.shape[1] if like.dim() == 4 else like.shape[-1]
        with torch.random.fork_rng(devices=[]):
            layers = [_layer(like.dim(), width) for _ in range(3)]
            norms = [nn.GroupNorm(1, width) if like.dim() == 4 else nn.LayerNorm(width) for _ in range(2)]
        for parameter in layers[-1].parameters():
            nn.init.zeros_(parameter)
        self.network = nn.Sequential(layers[0], norms[0], nn.ReLU(), layers[1], norms[1], nn.ReLU(), layers[2])
        weight, dtype = layers[0].weight, torch.promote_types(like.dtype, torch.float32)
        if (weight.device, weight.dtype) != (like.device, dtype):  # nothing moves tensors without values
            self.network.to(like.device, dtype)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=learning_rate)
        self.size: Tensor | None = None

    def replace(self, x: Tensor, gradient: Tensor) -> Tensor:
        """Return the prediction for the activation x, and learn from the gradient that it replaces."""
        target = gradient.to(next(self.network.parameters()).dtype)
        size = target.square().mean().sqrt().clamp_min(torch.finfo(target.dtype).tiny)
        self.size = size if self.size is None else self.size.lerp_(size, 0.1)
        with torch.enable_grad():
            prediction = self.network(x.detach().to(target.dtype))
            error = (prediction - target / self.size).square().mean()
            gradients = torch.autograd.grad(error, list(self.network.parameters()))
        for parameter, own in zip(self.network.parameters(), gradients, strict=True):
            parameter.grad = own
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return (prediction.detach() * self.size).to(gradient.dtype)


def _layer(axes: int, width: int) -> nn.Module:
    return nn.Conv2d(width, width, 5, padding=2) if axes == 4 else nn.Linear(width, width)


class _Boundary(torch.autograd.Function):
    """The identity, whose gradient is the synthesizer's."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, synthesizer: Synthesizer) -> Tensor:
        ctx.save_for_backward(x)
        ctx.synthesizer = synthesizer
        return x.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return ctx.synthesizer.replace(x, gradient), None


@torch.compiler.disable(reason="synthesizers learn in the backward pass")
def _behind_boundary(own: dict[int, Synthesizer], forward: Any, *inputs: Any) -> Any:
    seen = list(inputs)
    for index, x in enumerate(inputs):
        if isinstance(x, Tensor) and x.requires_grad and torch.is_grad_enabled():
            if index not in own:
                own[index] = Synthesizer(x)
            seen[index] = _Boundary.apply(x, own[index])
    return forward(*seen)
