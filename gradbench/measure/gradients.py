"""How far a strategy's weight gradients are from the stored ones, and from float64, parameter by parameter.

Notation, at the same weights and minibatch b: g_b the stored gradient of a parameter tensor, h_b the strategy's,
t_b the stored gradient in float64, e_b = h_b - g_b. All sums are accumulated in float64, and gradients stream: memory
grows with the number of parameters, not of minibatches.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradbench.measure.noise import noise_ratio_interval
from gradbench.strategies.base import Strategy

__all__ = ["Comparison", "FlatGradients", "GradientErrors", "gradients_of", "measure_gradients", "preserved"]

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class GradientErrors:
    """What was found for one parameter tensor and one strategy; the definitions are those of `results.GRADIENTS`.

    Attributes:
        identical: whether every minibatch's gradient equals the stored one bit for bit.
        finite: whether every entry of every gradient is finite.
        missing: whether the strategy gave no gradient where stored training gives one.
        rel_error_truth: NaN when no float64 gradient was taken, as is excess.
    """

    parameter: str
    identical: bool
    finite: bool
    missing: bool
    grad_norm: float
    rel_error: float
    cosine: float
    norm_ratio: float
    sign_agreement: float
    rel_error_truth: float
    excess: float
    sgd_variance: float
    noise_ratio: float
    noise_low: float
    noise_high: float
    bias_ratio: float


@dataclass(frozen=True)
class Comparison:
    """One strategy against stored training.

    Attributes:
        gradients: one record a parameter that requires a gradient, in the model's order.
        changed_buffers: names of the buffers that one step leaves other than stored training does, bit for bit. Batch
            norm statistics that a recomputation moves a second time are the commonest fault in the field.
        repeat_error: |h' - h| / |h| over all parameters, h' from the same minibatch, weights and random state once
            more; 0 when every bit is the same.
    """

    gradients: list[GradientErrors]
    changed_buffers: list[str]
    repeat_error: float


class FlatGradients:
    """All gradients of a model as one float64 vector, and sums over the segment of each parameter.

    Args:
        model: the parameters that require a gradient, in the model's order, make the segments.
    """

    def __init__(self, model: nn.Module) -> None:
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self.names = [name for name, _ in named]
        self.sizes = [p.numel() for _, p in named]
        device = named[0][1].device
        self.lengths = torch.tensor(self.sizes, device=device)
        self.index_of = {name: i for i, name in enumerate(self.names)}

    def take(self, model: nn.Module) -> tuple[Tensor, list[int]]:
        """Return the model's gradients (P,) and the positions of the parameters that have none (zeros there)."""
        parts, missing = [], []
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            if parameter.grad is None:
                missing.append(self.index_of[name])
                parts.append(torch.zeros(parameter.numel(), dtype=parameter.dtype, device=parameter.device))
            else:
                parts.append(parameter.grad.reshape(-1))
        return torch.cat(parts).double(), missing

    def sums(self, values: Tensor) -> Tensor:
        """Return the sum of values (P,) over each parameter: (parameters,)."""
        return torch.segment_reduce(values, "sum", lengths=self.lengths, unsafe=True)


@contextmanager
def preserved(model: nn.Module) -> Iterator[None]:
    """Leave the buffers, the gradients and the random streams of torch as they were before."""
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    device = next(model.parameters()).device
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            for buffer, value in buffers:
                buffer.copy_(value)
            for parameter, gradient in gradients:
                parameter.grad = gradient


def gradients_of(model: nn.Module, strategy: Strategy, batch: Batch) -> None:
    """Leave in `model.grad` the gradients of the mean cross-entropy of one batch, under `strategy`."""
    x, y = batch
    model.zero_grad(set_to_none=True)
    with strategy.applied_to(model):
        F.cross_entropy(model(x), y).backward()


@dataclass
class _Tally:
    """What is known of one strategy: the mean error vector, and per minibatch a row (parameters,) of each sum."""

    error: Tensor
    rows: dict[str, list[Tensor]] = field(default_factory=dict)
    missing: set[int] = field(default_factory=set)
    changed_buffers: list[str] = field(default_factory=list)
    repeat_error: float = math.nan

    def add(self, **values: Tensor) -> None:
        for name, value in values.items():
            self.rows.setdefault(name, []).append(value)

    def table(self, name: str) -> Tensor:
        """Return (minibatches, parameters) on the CPU."""
        return torch.stack(self.rows[name]).cpu()


def measure_gradients(
    model: nn.Module,
    reference: Strategy,
    strategies: Sequence[Strategy],
    batches: Sequence[Batch],
    truth_batches: int,
    between: Callable[[], None] = lambda: None,
) -> dict[str, Comparison]:
    """Compare the gradients of each strategy with the stored ones on the same minibatches, at the model's weights.

    The stored gradients are computed twice: once for their mean, once beside each strategy's, so that nothing of the
    size of the model is kept per minibatch.

    Args:
        model: in training mode; its buffers, gradients and random streams are left as they were.
        reference: the stored strategy.
        strategies: those to compare; the reference itself may be among them, which measures the device's own noise.
        batches: M >= 2 minibatches, drawn without replacement.
        truth_batches: how many of them are also run in float64.
        between: called before each minibatch.

    Returns:
        For each strategy's name, what was found.
    """
    flat = FlatGradients(model)
    mean = _mean_gradient(model, reference, batches, flat)
    truths = _truths(model, reference, batches[:truth_batches], flat)
    tallies = {strategy.name: _Tally(torch.zeros_like(mean)) for strategy in strategies}
    deviation: list[Tensor] = []
    for b, batch in enumerate(batches):
        between()
        with preserved(model):
            gradients_of(model, reference, batch)
            g, absent = flat.take(model)
            buffers = _copied_buffers(model)
        g2 = flat.sums(g * g)
        deviation.append(flat.sums((g - mean) ** 2))
        for strategy in strategies:
            tally = tallies[strategy.name]
            with preserved(model):
                gradients_of(model, strategy, batch)
                h, missing = flat.take(model)
                if b == 0:
                    moved = _copied_buffers(model)
                    tally.changed_buffers = [n for n, value in buffers.items() if not torch.equal(value, moved[n])]
            if b == 0:
                with preserved(model):
                    gradients_of(model, strategy, batch)
                    tally.repeat_error = _distance(flat.take(model)[0], h)
            tally.missing.update(set(missing) - set(absent))
            e = h - g
            tally.error += (e - tally.error) / (b + 1)
            tally.add(
                g2=g2,
                h2=flat.sums(h * h),
                gh=flat.sums(g * h),
                e2=flat.sums(e * e),
                differing=flat.sums((h != g).double()),
                same_sign=flat.sums((torch.sign(h) == torch.sign(g)).double()),
            )
            if b < len(truths):
                t = truths[b]
                tally.add(t2=flat.sums(t * t), ht2=flat.sums((h - t) ** 2), gt2=flat.sums((g - t) ** 2))
    spread = torch.stack(deviation).cpu()
    return {
        name: Comparison(_errors(flat, tally, spread), tally.changed_buffers, tally.repeat_error)
        for name, tally in tallies.items()
    }


def _distance(again: Tensor, h: Tensor) -> float:
    """Return |again - h| / |h|; 0 when they are the same bit for bit, also where that is NaN."""
    if torch.equal(again.view(torch.int64), h.view(torch.int64)):
        return 0.0
    return float((again - h).norm() / h.norm())


def _copied_buffers(model: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in model.named_buffers()}


def _mean_gradient(model: nn.Module, reference: Strategy, batches: Sequence[Batch], flat: FlatGradients) -> Tensor:
    mean = torch.zeros(sum(flat.sizes), dtype=torch.float64, device=flat.lengths.device)
    for b, batch in enumerate(batches):
        with preserved(model):
            gradients_of(model, reference, batch)
            g, _ = flat.take(model)
        mean += (g - mean) / (b + 1)
    return mean


def _truths(model: nn.Module, reference: Strategy, batches: Sequence[Batch], flat: FlatGradients) -> list[Tensor]:
    """Return the stored gradients of the same weights and buffers in float64."""
    if not batches:
        return []
    exact = copy.deepcopy(model).double()
    truths = []
    for x, y in batches:
        with preserved(exact):
            gradients_of(exact, reference, (x.double(), y))
            truths.append(flat.take(exact)[0])
    return truths


def _errors(flat: FlatGradients, tally: _Tally, spread: Tensor) -> list[GradientErrors]:
    """Reduce one strategy's rows (M, parameters) over the minibatches."""
    count = len(spread)
    g2, h2, gh, e2 = (tally.table(name) for name in ("g2", "h2", "gh", "e2"))
    sizes = torch.tensor(flat.sizes, dtype=torch.float64)
    s2 = spread.sum(0) / (count - 1)
    mean_e2 = e2.mean(0)
    error_of_mean = flat.sums(tally.error**2).cpu()
    s2_error = (mean_e2 - error_of_mean) * count / (count - 1)
    columns = {
        "grad_norm": g2.mean(0).sqrt(),
        "rel_error": (e2.sum(0) / g2.sum(0)).sqrt(),
        "cosine": (gh / (g2 * h2).sqrt()).mean(0),
        "norm_ratio": (h2 / g2).sqrt().mean(0),
        "sign_agreement": tally.table("same_sign").mean(0) / sizes,
        "sgd_variance": s2,
        "noise_ratio": mean_e2 / s2,
        "bias_ratio": (error_of_mean - s2_error / count) / (s2 / count),
    }
    if "t2" in tally.rows:
        t2, ht2, gt2 = (tally.table(name) for name in ("t2", "ht2", "gt2"))
        columns["rel_error_truth"] = (ht2 / t2).sqrt().quantile(0.5, dim=0)
        # Equal gradients are exactly as good as plain autograd, also where that is exact itself. The worst minibatch
        # counts: one that is right by chance excuses no other.
        columns["excess"] = torch.where(ht2 == gt2, torch.ones_like(ht2), (ht2 / gt2).sqrt()).amax(0)
    else:
        columns["rel_error_truth"] = columns["excess"] = torch.full_like(s2, torch.nan)
    low, high = noise_ratio_interval(e2.numpy(), spread.numpy())
    identical = tally.table("differing").sum(0) == 0
    finite = torch.isfinite(h2).all(0)
    return [
        GradientErrors(
            parameter=name,
            identical=bool(identical[i]),
            finite=bool(finite[i]),
            missing=i in tally.missing,
            noise_low=float(low[i]),
            noise_high=float(high[i]),
            **{column: float(values[i]) for column, values in columns.items()},
        )
        for i, name in enumerate(flat.names)
    ]
