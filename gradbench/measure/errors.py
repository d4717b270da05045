"""From sums over minibatches to the errors of each parameter's gradient, with their intervals.

Notation, at the same weights and minibatch b: g_b the stored gradient of a parameter tensor, h_b the strategy's,
t_b the stored gradient in float64, e_b = h_b - g_b, M minibatches.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from gradbench.measure.flat import FlatGradients
from gradbench.measure.intervals import (
    Interval,
    interval,
    left_out_bias,
    left_out_mean,
    left_out_variance,
    positive_interval,
)
from gradbench.measure.sketch import Sketch

__all__ = ["INTERVALS", "GradientErrors", "Tally", "gradient_errors"]

#: What has an interval over minibatches, by the beginning of its columns' names.
INTERVALS = ("rel_error", "cosine", "sgd_variance", "noise", "bias", "draw_variance")


@dataclass(frozen=True)
class GradientErrors:
    """What was found for one parameter tensor and one strategy; the definitions are those of `results.GRADIENTS`.

    Of one minibatch there are no intervals and no noise: what needs two is NaN.

    Attributes:
        identical: whether every minibatch's gradient equals the stored one bit for bit.
        finite: whether every entry of every gradient is finite.
        missing: whether the strategy gave no gradient where stored training gives one.
        rel_error_truth: NaN when no float64 gradient was taken, as is excess.
        draw_variance_ratio: NaN when no minibatch was drawn more than once.
    """

    parameter: str
    identical: bool
    finite: bool
    missing: bool
    grad_norm: float
    rel_error: float
    rel_error_low: float
    rel_error_high: float
    cosine: float
    cosine_low: float
    cosine_high: float
    norm_ratio: float
    sign_agreement: float
    zeroed_channels: int
    rel_error_truth: float
    excess: float
    sgd_variance: float
    sgd_variance_low: float
    sgd_variance_high: float
    noise_ratio: float
    noise_low: float
    noise_high: float
    bias_ratio: float
    bias_low: float
    bias_high: float
    draw_variance_ratio: float
    draw_variance_low: float
    draw_variance_high: float


@dataclass
class Tally:
    """What is known of one strategy.

    Attributes:
        error: the mean of e_b so far, (P,).
        rows: per minibatch a row (parameters,) of each sum.
        sketches: per minibatch the sketch of e_b.
        alive: for each output channel, whether a gradient of the strategy was not zero.
        missing: positions of the parameters without a gradient that stored training has.
    """

    error: Tensor
    rows: dict[str, list[Tensor]] = field(default_factory=dict)
    sketches: list[Tensor] = field(default_factory=list)
    alive: Tensor | bool = False
    missing: set[int] = field(default_factory=set)

    def add(self, **values: Tensor) -> None:
        """Add a minibatch's row to each named sum."""
        for name, value in values.items():
            self.rows.setdefault(name, []).append(value)

    def table(self, name: str) -> Tensor:
        """Return (minibatches, parameters) on the CPU."""
        return torch.stack(self.rows[name]).cpu()


def gradient_errors(
    flat: FlatGradients, sketch: Sketch, tally: Tally, deviations: Tensor, alive: Tensor
) -> list[GradientErrors]:
    """Reduce one strategy's sums over the minibatches.

    Args:
        flat: the parameters.
        sketch: what made the tally's sketches.
        tally: one strategy's sums.
        deviations: |g_b - mean g|^2, (M, parameters).
        alive: for each output channel, whether a stored gradient was not zero.
    """
    count = len(deviations)
    g2, h2, gh, e2 = (tally.table(name) for name in ("g2", "h2", "gh", "e2"))
    s2 = deviations.sum(0) / (count - 1)
    cosine = gh / (g2 * h2).sqrt()
    columns = {
        "grad_norm": g2.mean(0).sqrt(),
        "rel_error": (e2.sum(0) / g2.sum(0)).sqrt(),
        "cosine": cosine.mean(0),
        "norm_ratio": (h2 / g2).sqrt().mean(0),
        "sign_agreement": tally.table("same_sign").mean(0) / torch.tensor(flat.sizes, dtype=torch.float64),
        "sgd_variance": s2,
        "noise_ratio": e2.mean(0) / s2,
        "bias_ratio": _bias(flat, tally, e2) / (s2 / count) if count > 1 else s2,
        **_against_truth(tally, torch.full_like(s2, torch.nan)),
    }
    drawn = tally.table("drawn") if "drawn" in tally.rows else torch.full_like(e2, torch.nan)
    columns["draw_variance_ratio"] = drawn.mean(0) / s2
    ends = dict.fromkeys(INTERVALS, (np.full(len(s2), np.nan),) * 2)
    if count > 1:
        ends |= _intervals(e2.numpy(), g2.numpy(), cosine.numpy(), deviations.numpy())
        ends["draw_variance"] = _ratio_interval(drawn.numpy(), deviations.numpy())
        ends["bias"] = _bias_interval(columns["bias_ratio"].numpy(), sketch, tally, deviations.numpy())
    for name, (low, high) in ends.items():
        columns[f"{name}_low"], columns[f"{name}_high"] = torch.from_numpy(low), torch.from_numpy(high)
    identical = tally.table("differing").sum(0) == 0
    finite = torch.isfinite(h2).all(0)
    zeroed = [int(part.sum()) for part in (alive & ~tally.alive).cpu().split(flat.channels)]
    return [
        GradientErrors(
            parameter=name,
            identical=bool(identical[i]),
            finite=bool(finite[i]),
            missing=i in tally.missing,
            zeroed_channels=zeroed[i],
            **{column: float(values[i]) for column, values in columns.items()},
        )
        for i, name in enumerate(flat.names)
    ]


def _bias(flat: FlatGradients, tally: Tally, e2: Tensor) -> Tensor:
    """Return |mean_b e_b|^2 - s2_e / M, whose mean is |E e|^2."""
    count = len(e2)
    error_of_mean = flat.sums(tally.error**2).cpu()
    s2_error = (e2.mean(0) - error_of_mean) * count / (count - 1)
    return error_of_mean - s2_error / count


def _against_truth(tally: Tally, unknown: Tensor) -> dict[str, Tensor]:
    if "t2" not in tally.rows:
        return {"rel_error_truth": unknown, "excess": unknown}
    t2, ht2, gt2 = (tally.table(name) for name in ("t2", "ht2", "gt2"))
    return {
        "rel_error_truth": (ht2 / t2).sqrt().quantile(0.5, dim=0),
        # Equal gradients are exactly as good as plain autograd, also where that is exact itself. The worst minibatch
        # counts: one that is right by chance excuses no other.
        "excess": torch.where(ht2 == gt2, torch.ones_like(ht2), (ht2 / gt2).sqrt()).amax(0),
    }


def _intervals(e2: np.ndarray, g2: np.ndarray, cosine: np.ndarray, deviations: np.ndarray) -> dict[str, Interval]:
    """Return the ends of the intervals by their columns' names; all arguments are (M, parameters)."""
    with np.errstate(all="ignore"):
        rel_error = positive_interval(e2.sum(0) / g2.sum(0), left_out_mean(e2) / left_out_mean(g2))
        # A cosine near 1 is far from normal, its distance from 1 less so. Rounding may exceed 1.
        distance = np.clip(1 - cosine, 0, None)
        nearest, farthest = positive_interval(distance.mean(0), left_out_mean(distance))
        return {
            "rel_error": (np.sqrt(rel_error[0]), np.sqrt(rel_error[1])),
            "cosine": (np.clip(1 - farthest, -1, None), 1 - nearest),
            "sgd_variance": positive_interval(deviations.sum(0) / (len(e2) - 1), left_out_variance(deviations)),
            "noise": _ratio_interval(e2, deviations),
        }


def _ratio_interval(powers: np.ndarray, deviations: np.ndarray) -> Interval:
    """Return the interval of the mean of powers over s2; both arguments are (M, parameters)."""
    with np.errstate(all="ignore"):
        s2 = deviations.sum(0) / (len(deviations) - 1)
        return positive_interval(powers.mean(0) / s2, left_out_mean(powers) / left_out_variance(deviations))


def _bias_interval(bias_ratio: np.ndarray, sketch: Sketch, tally: Tally, deviations: np.ndarray) -> Interval:
    """Return the interval of the bias ratio, whose spread is that of the sketched errors."""
    count = len(deviations)
    errors = torch.stack(tally.sketches).cpu().split(sketch.kept, dim=1)
    with np.errstate(all="ignore"):
        bias = np.stack([left_out_bias(part.numpy()) for part in errors], axis=1)
        return interval(bias_ratio, bias / (left_out_variance(deviations) / count))
