"""Batch normalisation that can be undone: its scale is never zero, and it remembers two numbers a channel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradbench.invertible.gradients import Gradients
from gradbench.invertible.protocol import Invertible
from gradbench.invertible.state import LayerError, Memo, Owned, State, as_output, each_kept_in, out_of

__all__ = ["InvertibleBatchNorm"]


class InvertibleBatchNorm(Invertible):
    """y = (|gamma| + eps_i) (x - mean) / sqrt(var + eps) + beta, per channel, over a state of `channels` in all.

    Group g of the state, (N, C_g, H, W), uses its slice of the parameters and running statistics. `var` is the biased
    variance of the batch; `running_var` is unbiased, as torch has it; `eval()` uses the running statistics.

    Args:
        channels: channels of all groups together.
        eps: added to the variance.
        momentum: share of the new batch in the running statistics.
        eps_i: the smallest scale. Hascoet et al., Reversible designs, equation 27, whose |gamma + eps_i| has no lower
            bound.
        norm_inverse: "affine" undoes the formula above with the saved mean and deviation (equation 20b). "renormalize"
            is what the authors' published code does in training: it normalises y once more with y's own statistics
            and rescales with the *unbiased* deviation of x, a relative error of 1/(2n) for n = N H W.
    """

    kind: ClassVar[str] = "norm"

    def __init__(
        self,
        channels: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        eps_i: float = 0.1,
        norm_inverse: Literal["affine", "renormalize"] = "affine",
    ) -> None:
        super().__init__()
        if norm_inverse not in ("affine", "renormalize"):
            raise ValueError(f"norm_inverse {norm_inverse!r} is not allowed: affine, renormalize")
        self.channels, self.eps, self.momentum, self.eps_i = channels, eps, momentum, eps_i
        self.norm_inverse = norm_inverse
        self.track_running_stats = True
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0, dtype=torch.long))

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"{self.channels}, eps={self.eps}, momentum={self.momentum}, eps_i={self.eps_i}, {self.norm_inverse}"

    def scale(self) -> Tensor:
        """Return what the normalised channels are multiplied by, |gamma| + eps_i: (channels,)."""
        return self.weight.abs() + self.eps_i

    def _groups(self, x: State) -> list[int]:
        sizes = [tensor.shape[1] for tensor in x]
        if sum(sizes) != self.channels:
            raise LayerError(f"{sum(sizes)} channels where the norm has {self.channels}")
        if self.training and x[0].numel() == x[0].shape[1]:
            raise LayerError("batch statistics need more than one value a channel")
        return sizes

    def _running(self, sizes: list[int]) -> tuple[list[Tensor | None], list[Tensor | None]]:
        """Return the running statistics of each group, None where the batch's own are used and nothing is tracked."""
        if self.training and not self.track_running_stats:
            return [None] * len(sizes), [None] * len(sizes)
        return list(self.running_mean.split_with_sizes(sizes)), list(self.running_var.split_with_sizes(sizes))

    def forward(self, *x: Tensor) -> Tensor | State:
        """Return the normalised groups, by plain autograd."""
        return as_output(self._normalised(x))

    def _normalised(self, x: State) -> State:
        sizes = self._groups(x)
        if self.training and self.track_running_stats:
            self.num_batches_tracked.add_(1)
        groups = zip(
            x,
            *self._running(sizes),
            self.scale().split_with_sizes(sizes),
            self.bias.split_with_sizes(sizes),
            strict=True,
        )
        return tuple(
            F.batch_norm(tensor, mean, var, scale, bias, self.training, self.momentum, self.eps)
            for tensor, mean, var, scale, bias in groups
        )

    def inverse(self, *y: Tensor) -> Tensor | State:
        """Return the input of a norm in `eval()`; in training only the call's memo knows the batch's statistics."""
        if self.training:
            raise RuntimeError("in training a norm's inverse needs the statistics of the forward pass: use invert")
        sizes = self._groups(y)
        factor = (self.running_var + self.eps).sqrt() / self.scale()
        offset = self.running_mean - self.bias * factor
        factors, offsets = (vector.view(1, -1, 1, 1).split_with_sizes(sizes, 1) for vector in (factor, offset))
        return as_output(tuple(tensor * a + b for tensor, a, b in zip(y, factors, offsets, strict=True)))

    def run(self, x: State) -> tuple[State, Memo]:
        """Return the normalised groups and (from the batch?, mean, 1 / sqrt(var + eps), scale) per channel."""
        if not self.training:
            memo = (False, self.running_mean.clone(), (self.running_var + self.eps).rsqrt(), self.scale())
            return Owned(self._normalised(x)), memo
        sizes = self._groups(x)
        if self.track_running_stats:
            self.num_batches_tracked.add_(1)
        scale = self.scale()
        groups = zip(
            x, *self._running(sizes), scale.split_with_sizes(sizes), self.bias.split_with_sizes(sizes), strict=True
        )
        cudnn = torch.backends.cudnn.enabled
        # What F.batch_norm calls, so that running statistics are the same bit for bit; it also returns the statistics.
        results = [
            torch._batch_norm_impl_index(tensor, gamma, beta, mean, var, True, self.momentum, self.eps, cudnn)
            for tensor, mean, var, gamma, beta in groups
        ]
        y, means, inverse_stds = (tuple(result[index] for result in results) for index in range(3))
        return Owned(y), (True, torch.cat(means), torch.cat(inverse_stds), scale)

    def rerun(self, x: State, memo: Memo) -> State:
        """Return the same output again, from the saved statistics."""
        _, mean, inverse_std, scale = memo
        gain = scale * inverse_std
        return _affine(x, gain, torch.addcmul(self.bias, mean, gain, value=-1))

    def invert(self, y: State, memo: Memo) -> State:
        """Return the input that gave `y`."""
        centre, _, factor, _ = self.undone(y, memo)
        return self._rebuild(y, centre, factor, memo[1])

    def renormalizes(self, memo: Memo) -> bool:
        """Return whether the inverse of that call needs the statistics of the norm's output."""
        return memo[0] and self.norm_inverse == "renormalize"

    def undone(self, y: State, memo: Memo) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return, per channel, what gives xhat = (y - centre) rate and x = (y - centre) factor + mean, and the gain.

        The gain is (|gamma| + eps_i) / sqrt(var + eps).
        """
        _, _, inverse_std, scale = memo
        gain = scale * inverse_std
        if not self.renormalizes(memo):
            return self.bias.detach(), scale.reciprocal(), gain.reciprocal(), gain
        count = y[0].numel() // y[0].shape[1]
        moments = [torch.var_mean(tensor, (0, 2, 3), correction=0) for tensor in y]
        var, centre = (torch.cat(parts).to(inverse_std.dtype) for parts in zip(*moments, strict=True))
        unbiased_var = (inverse_std.pow(-2) - self.eps) * (count / (count - 1))
        return centre, var.rsqrt(), (unbiased_var / var).sqrt(), gain

    @staticmethod
    def _rebuild(y: State, centre: Tensor, factor: Tensor, mean: Tensor) -> State:
        return _affine(y, factor, torch.addcmul(mean, centre, factor, value=-1))

    def backward_step(self, y: State, dy: State, memo: Memo, gradients: Gradients) -> tuple[State, State]:
        """Rebuild x, and form the gradients from the normalised values, without x or its mean.

        dbeta = sum dy, dgamma = sign(gamma) sum dy xhat and, when the statistics are the batch's,
        dx = gain (dy - mean dy - xhat mean(dy xhat)); otherwise dx = gain dy. This is the backward pass of an ordinary
        norm whose input is y, mean `centre`, inverse deviation `rate` and weight gain / rate.
        """
        batch, mean, _, _ = memo
        centre, rate, factor, gain = self.undone(y, memo)
        sizes = [tensor.shape[1] for tensor in y]
        weight = gain / rate
        mask = [True, gradients.wants(self.weight), gradients.wants(self.bias)]
        variance = None if batch else rate.pow(-2)
        centres, rates, weights = (vector.split_with_sizes(sizes) for vector in (centre, rate, weight))
        variances = [None] * len(sizes) if variance is None else variance.split_with_sizes(sizes)
        sums = []

        def pulled_back() -> Iterator[Tensor]:
            for g, t, w, c, r, v in zip(dy, y, weights, centres, rates, variances, strict=True):
                centre_used = None if batch else c
                found = torch.ops.aten.native_batch_norm_backward(g, t, w, centre_used, v, c, r, batch, 0.0, mask)
                dx = [found[0]]
                sums.append(found[1:])
                del found
                yield dx.pop()  # so that nothing here holds it

        dx = each_kept_in(dy, pulled_back())
        if mask[1]:
            gradients.add(self.weight, torch.cat([weight_sum for weight_sum, _ in sums]) * self.weight.sign())
        if mask[2]:
            gradients.add(self.bias, torch.cat([bias_sum for _, bias_sum in sums]))
        return self._rebuild(y, centre, factor, mean), dx


def _affine(state: State, factor: Tensor, offset: Tensor) -> State:
    """Return factor * state + offset, with one number of each a channel."""
    sizes = [tensor.shape[1] for tensor in state]
    factors, offsets = (vector.view(1, -1, 1, 1).split_with_sizes(sizes, 1) for vector in (factor, offset))
    result = out_of(state)
    for tensor, a, b, out in zip(state, factors, offsets, result, strict=True):
        torch.addcmul(b, tensor, a, out=out)
    return result
