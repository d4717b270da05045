"""How much of each activation survives being rebuilt: its signal-to-noise ratio, layer by layer on the way back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradbench.invertible import LayerInfo, layers, watch_rebuilt
from gradbench.measure.alpha import alpha_theory
from gradbench.measure.batch import Batch, Loss, call
from gradbench.measure.gradients import gradients_of, preserved
from gradbench.strategies.base import Strategy

__all__ = ["RebuiltActivation", "decibel", "measure_activations"]


@dataclass(frozen=True)
class RebuiltActivation:
    """One layer's rebuilt input against the one that the forward pass saw.

    Attributes:
        snr: sum(x^2) / sum((x_hat - x)^2); infinite when every bit is right.
        alpha: snr over the SNR of the output that the input was rebuilt from; NaN when both are infinite.
        alpha_theory: what alpha is for small white noise in that output; NaN where there is no closed form.
        alpha_ratio: alpha over alpha_theory.
        flipped_gates: share of entries whose sign changed; NaN for layers that are no activation.
    """

    layer: str
    position: int
    kind: str
    block: int
    snr: float
    alpha: float
    alpha_theory: float
    alpha_ratio: float
    flipped_gates: float


@dataclass
class _Seen:
    """What the forward pass saw: each layer's calls, in order, as (inputs, outputs)."""

    calls: dict[nn.Module, list[tuple[tuple[Tensor, ...], tuple[Tensor, ...]]]] = field(default_factory=dict)

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor | tuple[Tensor, ...]) -> None:
        several = outputs if isinstance(outputs, tuple) else (outputs,)
        self.calls.setdefault(module, []).append(
            (tuple(x.detach() for x in inputs), tuple(y.detach() for y in several))
        )


def measure_activations(
    model: nn.Module, reference: Strategy, strategy: Strategy, batch: Batch, loss: Loss = F.cross_entropy
) -> list[RebuiltActivation]:
    """Compare every rebuilt layer input of one backward pass with the stored forward pass of the same batch.

    Raw second moments, summed in float64 over all channel groups of the input.

    Args:
        model: in training mode; left as it was. The forward pass must be deterministic.
        reference: the stored strategy.
        strategy: one that rebuilds.
        batch: inputs and target.
        loss: from output and target to the loss.
    """
    seen = _Seen()
    listed = layers(model)
    hooks = [info.module.register_forward_hook(seen) for info in listed]
    try:
        with preserved(model), torch.no_grad(), reference.applied_to(model):
            call(model, batch[0])
    finally:
        for hook in hooks:
            hook.remove()
    place = {info.module: (position, info) for position, info in enumerate(listed)}
    rebuilt: list[tuple[int, Tensor, float]] = []

    def compare(module: nn.Module, x: Sequence[Tensor], y: Sequence[Tensor]) -> None:
        if module not in place:
            return
        true_x, true_y = seen.calls[module].pop()
        values = torch.stack([*_powers(x, true_x), *_powers(y, true_y), _flips(x, true_x)])
        rebuilt.append((place[module][0], values, alpha_theory(module, true_x, true_y)))

    with preserved(model), watch_rebuilt(compare):
        gradients_of(model, strategy, batch, loss)
    return [
        _record(position, values.tolist(), theory, listed[position])
        for position, values, theory in sorted(rebuilt, key=itemgetter(0))
    ]


def _powers(rebuilt: Sequence[Tensor], true: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    signal = sum(x.double().square().sum() for x in true)
    error = sum((x_hat.double() - x.double()).square().sum() for x_hat, x in zip(rebuilt, true, strict=True))
    return signal, error  # type: ignore[return-value]


def _flips(rebuilt: Sequence[Tensor], true: Sequence[Tensor]) -> Tensor:
    flipped = sum(((x_hat > 0) != (x > 0)).sum() for x_hat, x in zip(rebuilt, true, strict=True))
    return flipped.double() / sum(x.numel() for x in true)  # type: ignore[union-attr]


def _quotient(above: float, below: float) -> float:
    """Return above / below as IEEE arithmetic has it: x / 0 is infinite, 0 / 0 is NaN."""
    with np.errstate(all="ignore"):
        return float(np.float64(above) / np.float64(below))


def _record(position: int, values: list[float], theory: float, info: LayerInfo) -> RebuiltActivation:
    signal_x, error_x, signal_y, error_y, flipped = values
    snr = _quotient(signal_x, error_x)
    alpha = _quotient(snr, _quotient(signal_y, error_y))
    return RebuiltActivation(
        layer=info.name,
        position=position,
        kind=info.kind,
        block=info.block,
        snr=snr,
        alpha=alpha,
        alpha_theory=theory,
        alpha_ratio=_quotient(alpha, theory),
        flipped_gates=flipped if info.kind == "activation" else math.nan,
    )


def decibel(ratio: float) -> float:
    """Return a power ratio in decibels: -inf for 0, inf for inf, NaN for NaN.

    >>> decibel(1000.0)
    30.0
    """
    if math.isnan(ratio):
        return ratio
    return 10 * math.log10(ratio) if ratio > 0 else -math.inf
