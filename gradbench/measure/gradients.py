"""How far a strategy's weight gradients are from the stored ones, and from float64, parameter by parameter.

Notation, at the same weights and minibatch b: g_b the stored gradient of a parameter tensor, h_b the strategy's,
t_b the stored gradient in float64, e_b = h_b - g_b. All sums are accumulated in float64, and gradients stream: memory
grows with the number of parameters, not of minibatches, of each of which a few hundred numbers a tensor are kept.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradbench.measure.batch import Batch, Loss, in_double
from gradbench.measure.errors import GradientErrors, Tally, gradient_errors
from gradbench.measure.flat import FlatGradients
from gradbench.measure.random_state import differing, fixed, streams
from gradbench.measure.redraw import Drawing, DrawsDiffer, Redrawing
from gradbench.measure.sketch import Sketch
from gradbench.measure.step import take_step
from gradbench.strategies.base import Strategy

__all__ = ["Batch", "Comparison", "Loss", "gradients_of", "measure_gradients", "preserved"]

#: Two steps that draw the same differ by rounding; two dropout masks by a good part of the gradient.
_SAME_DRAWS = 0.01


@dataclass(frozen=True)
class Comparison:
    """One strategy against stored training.

    Attributes:
        gradients: one record a parameter that requires a gradient, in the model's order.
        changed_buffers: names of the buffers that one step leaves other than stored training does, bit for bit. Batch
            norm statistics that a recomputation moves a second time are the commonest fault in the field.
        minibatches: over how many.
        repeat_error: |h' - h| / |h| over all parameters, h' from the same minibatch, weights and random state once
            more; 0 when every bit is the same. Of a strategy that is random it is the distance of two draws.
        no_truth: why there is no gradient in float64 although it was asked for, in one sentence, or nothing.
    """

    gradients: list[GradientErrors]
    changed_buffers: list[str]
    repeat_error: float
    minibatches: int
    no_truth: str = ""


@contextmanager
def preserved(model: nn.Module, stream: int | None = None) -> Iterator[None]:
    """Leave the buffers, the gradients and the streams of random numbers as they were before.

    Args:
        model: whose buffers and gradients.
        stream: draw the random numbers inside from the stream of this number; by default as they come.
    """
    buffers = [
        (module, name, buffer, buffer.clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    seed = None if stream is None else (torch.initial_seed() + stream) % 2**63
    with fixed(next(model.parameters()).device, seed):
        try:
            yield
        finally:
            for module, name, buffer, value in buffers:
                module._buffers[name] = buffer  # a forward pass may have put another tensor in its place
                buffer.copy_(value)
            for parameter, gradient in gradients:
                parameter.grad = gradient


def gradients_of(model: nn.Module, strategy: Strategy, batch: Batch, loss: Loss = F.cross_entropy) -> None:
    """Leave in the parameters' `grad` the gradients of the loss of one batch under `strategy`."""
    model.zero_grad(set_to_none=True)
    take_step(model, strategy, batch, loss)


def measure_gradients(
    model: nn.Module,
    reference: Strategy,
    strategies: Sequence[Strategy],
    batches: Sequence[Batch],
    truth_batches: int,
    between: Callable[[], None] = lambda: None,
    loss: Loss = F.cross_entropy,
    truth: Strategy | None = None,
    draws: int = 1,
) -> dict[str, Comparison]:
    """Compare the gradients of each strategy with the stored ones on the same minibatches, at the model's weights.

    The stored gradients are computed twice: once for their mean, once beside each strategy's, so that nothing of the
    size of the model is kept per minibatch. Each minibatch has random numbers of its own, the same for every strategy.

    Args:
        model: in training mode; its buffers, gradients and random streams are left as they were.
        reference: the stored strategy.
        strategies: those to compare; the reference itself may be among them, which measures the device's own noise.
        batches: M >= 1 minibatches, drawn without replacement; of one there is no noise.
        truth_batches: how many of them are also run in float64, with the random numbers that the reference drew.
        between: called before each minibatch.
        loss: from output and target to the loss.
        truth: the stored strategy for float64, where the reference is one that works in another precision.
        draws: how often each minibatch is run by strategies that are random; from two on their variance is known.

    Returns:
        For each strategy's name, what was found.
    """
    flat = FlatGradients(model)
    sketch = Sketch(flat.sizes, flat.lengths.device)
    mean = _mean_gradient(model, reference, batches, flat, loss)
    truths = _Truths(model, reference, truth or reference, flat, loss) if truth_batches else None
    tallies = {strategy.name: Tally(torch.zeros_like(mean)) for strategy in strategies}
    changed: dict[str, list[str]] = {}
    repeats: dict[str, float] = {}
    deviations: list[Tensor] = []
    alive: Tensor | bool = False
    for b, batch in enumerate(batches):
        between()
        with preserved(model, b):
            before = streams(flat.lengths.device)
            gradients_of(model, reference, batch, loss)
            drew = bool(differing(before, streams(flat.lengths.device)))
            g, absent = flat.take(model)
            buffers = _copied_buffers(model)
        t = truths.of(batch, b, g, drew) if truths and b < truth_batches else None
        g2 = flat.sums(g * g)
        deviations.append(flat.sums((g - mean) ** 2))
        alive = alive | flat.alive(g)
        for strategy in strategies:
            tally = tallies[strategy.name]
            with preserved(model, b):
                gradients_of(model, strategy, batch, loss)
                h, missing = flat.take(model)
                if b == 0:
                    moved = _copied_buffers(model)
                    changed[strategy.name] = [n for n, value in buffers.items() if not torch.equal(value, moved[n])]
            if b == 0:
                with preserved(model, b):
                    gradients_of(model, strategy, batch, loss)
                    repeats[strategy.name] = _distance(flat.take(model)[0], h)
            if strategy.random and draws > 1:
                tally.add(drawn=flat.sums(_variance_of_draws(model, strategy, batch, b, h, draws, flat, loss)))
            tally.missing.update(set(missing) - set(absent))
            e = h - g
            tally.error += (e - tally.error) / (b + 1)
            tally.sketches.append(sketch(e))
            tally.alive = tally.alive | flat.alive(h)
            tally.add(
                g2=g2,
                h2=flat.sums(h * h),
                gh=flat.sums(g * h),
                e2=flat.sums(e * e),
                differing=flat.sums((h != g).double()),
                same_sign=flat.sums((torch.sign(h) == torch.sign(g)).double()),
            )
            if t is not None:
                tally.add(t2=flat.sums(t * t), ht2=flat.sums((h - t) ** 2), gt2=flat.sums((g - t) ** 2))
    spread = torch.stack(deviations).cpu()
    return {
        name: Comparison(
            gradient_errors(flat, sketch, tally, spread, alive),
            changed[name],
            repeats[name],
            len(batches),
            truths.missing if truths else "",
        )
        for name, tally in tallies.items()
    }


def _variance_of_draws(
    model: nn.Module,
    strategy: Strategy,
    batch: Batch,
    stream: int,
    first: Tensor,
    draws: int,
    flat: FlatGradients,
    loss: Loss,
) -> Tensor:
    """Return the variance of each entry (P,) of the gradient over draws of a strategy, the first of them known."""
    mean, squares = first.clone(), torch.zeros_like(first)
    for count in range(2, draws + 1):
        with preserved(model, stream):
            gradients_of(model, strategy, batch, loss)
            h, _ = flat.take(model)
        change = h - mean
        mean += change / count
        squares += change * (h - mean)
    return squares / (draws - 1)


def _distance(again: Tensor, h: Tensor) -> float:
    """Return |again - h| / |h|; 0 when they are the same bit for bit, also where that is NaN."""
    if torch.equal(again.view(torch.int64), h.view(torch.int64)):
        return 0.0
    return float((again - h).norm() / h.norm())


def _copied_buffers(model: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in model.named_buffers()}


def _mean_gradient(
    model: nn.Module, reference: Strategy, batches: Sequence[Batch], flat: FlatGradients, loss: Loss
) -> Tensor:
    mean = torch.zeros(sum(flat.sizes), dtype=torch.float64, device=flat.lengths.device)
    for b, batch in enumerate(batches):
        with preserved(model, b):
            gradients_of(model, reference, batch, loss)
            g, _ = flat.take(model)
        mean += (g - mean) / (b + 1)
    return mean


class _Truths:
    """The stored gradients in float64, of the same weights, buffers and random draws, whatever is cast around.

    Args:
        model: as in `measure_gradients`.
        reference: the strategy whose draws they have.
        truth: the stored strategy.
        flat: takes gradients.
        loss: from output and target to the loss.

    Attributes:
        missing: why there are none, in one sentence; empty as long as there are.
    """

    def __init__(self, model: nn.Module, reference: Strategy, truth: Strategy, flat: FlatGradients, loss: Loss) -> None:
        self.model, self.reference, self.truth, self.flat, self.loss = model, reference, truth, flat, loss
        self.device = flat.lengths.device
        self.exact = copy.deepcopy(model).double()
        self.missing = ""

    def of(self, batch: Batch, stream: int, g: Tensor, drew: bool) -> Tensor | None:
        """Return that of a minibatch, or None from the first on of which it cannot be had.

        Args:
            batch: inputs and target.
            stream: of its random numbers.
            g: (P,), the reference's gradient.
            drew: whether the reference's step drew random numbers.
        """
        if self.missing:
            return None
        try:
            if not drew:
                return self._exact(batch, stream, nullcontext())
            # A compiled function that runs below a dispatch mode once is never run compiled again.
            with torch.compiler.set_stance("force_eager"):
                with preserved(self.model, stream), Drawing(self.device) as drawing:
                    gradients_of(self.model, self.reference, batch, self.loss)
                    again = self.flat.take(self.model)[0]
                if not float((again - g).norm()) <= _SAME_DRAWS * float(g.norm()):
                    raise DrawsDiffer("the stored step does not draw the same again")
                return self._exact(batch, stream, Redrawing(self.device, drawing.drawn))
        except (DrawsDiffer, NotImplementedError) as error:  # the second is of operators that no mode can look into
            self.missing = f"no gradient in float64, and no verdict rounding: {error}"
            return None

    def _exact(self, batch: Batch, stream: int, drawing: AbstractContextManager[object]) -> Tensor:
        with preserved(self.exact, stream), torch.autocast(self.device.type, enabled=False), drawing:
            gradients_of(self.exact, self.truth, in_double(batch), self.loss)
            return self.flat.take(self.exact)[0]
