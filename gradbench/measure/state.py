"""What one step leaves behind: is it what stored training leaves, and did it leave alone what is not its own?

One step of stored training and one with the strategy begin at the same weights, buffers and random state. `CHECKS` says
what is looked at; each is exact, rounding, fault or not applicable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradbench.measure.batch import Batch, Loss, same_bits, tensors
from gradbench.measure.gradients import preserved
from gradbench.measure.masks import drawn_in_backward, other_masks, random_modules
from gradbench.measure.memory import step_memory
from gradbench.measure.random_state import differing, streams
from gradbench.measure.step import forward_passes, take_step
from gradbench.results import CHECKS
from gradbench.strategies.base import Strategy

__all__ = ["Check", "State"]

#: In the place of a buffer that is not there.
_ABSENT = torch.empty(0, dtype=torch.complex128)


@dataclass(frozen=True)
class Check:
    """One check of one strategy.

    Attributes:
        check: a name of `results.CHECKS`.
        outcome: one of `results.OUTCOMES`.
        says: of a fault, one sentence that names what is wrong; else empty, or why the check does not apply.
        amount: how much: parameters, buffers, streams, modules, a relative distance, tensors, bytes.
    """

    check: str
    outcome: str
    says: str = ""
    amount: float = 0.0


@dataclass(frozen=True)
class _Step:
    """What there is after one step: gradients are known by their names only."""

    outputs: list[Tensor]
    gradients: list[str]
    buffers: dict[str, Tensor]
    streams: dict[str, Any]
    written: list[str]


class State:
    """Stored training's step, with which those of strategies are compared.

    Args:
        model: its buffers, gradients and random streams are left as they were.
        reference: the stored strategy.
        batch: inputs and target.
        loss: from output and target to the loss.
    """

    def __init__(self, model: nn.Module, reference: Strategy, batch: Batch, loss: Loss = F.cross_entropy) -> None:
        self._model, self._reference, self._batch, self._loss = model, reference, batch, loss
        self._device = next(model.parameters()).device
        with preserved(model, 0):
            before = streams(self._device)
        self._stored = self._step(reference)
        self._random = bool(differing(before, self._stored.streams))
        self._modules = random_modules(model, reference, batch) if self._random else []

    def of(self, strategy: Strategy) -> list[Check]:
        """Return the checks of one strategy, in the order of `results.CHECKS`."""
        step = self._step(strategy)
        checks: dict[str, Callable[[], Check]] = {
            "gradients": lambda: self._gradients(step),
            "buffers": lambda: self._buffers(step),
            "random stream": lambda: self._stream(step, strategy),
            "masks": lambda: self._masks(strategy),
            "output": lambda: self._output(step),
            "inputs": lambda: self._inputs(step),
            "memory": lambda: self._memory(strategy),
        }
        return [checks[name]() for name in CHECKS]

    def _step(self, strategy: Strategy) -> _Step:
        inputs, target = self._batch
        given = {f"the inputs' tensor {place}": one for place, one in enumerate(tensors(inputs))}
        given |= {f"the target's tensor {place}": one for place, one in enumerate(tensors(target))}
        before = {name: one.detach().clone() for name, one in given.items()}
        model = self._model
        with preserved(model, 0):
            model.zero_grad(set_to_none=True)
            outputs: list[list[Tensor]] = []

            def seen(output: Any, target: Any) -> Tensor:
                outputs.append([one.detach().clone() for one in tensors(output)])
                return self._loss(output, target)

            take_step(model, strategy, self._batch, seen)
            written = [name for name, one in given.items() if not same_bits(one, before[name])]
            for name in written:
                given[name].data.copy_(before[name])
            return _Step(
                outputs[0] if len(outputs) == 1 else [_joined(parts) for parts in zip(*outputs, strict=True)],
                [name for name, parameter in model.named_parameters() if parameter.grad is not None],
                {name: buffer.clone() for name, buffer in model.named_buffers()},
                streams(self._device),
                written,
            )

    def _gradients(self, step: _Step) -> Check:
        missing = [name for name in self._stored.gradients if name not in step.gradients]
        added = [name for name in step.gradients if name not in self._stored.gradients]
        if missing:
            says = f"no gradient for {_several(missing)}, where stored training gives one"
            return Check("gradients", "fault", says, len(missing))
        if added:
            says = f"a gradient for {_several(added)}, where stored training gives none"
            return Check("gradients", "fault", says, len(added))
        return Check("gradients", "exact")

    def _buffers(self, step: _Step) -> Check:
        stored = self._stored.buffers
        if not stored:
            return Check("buffers", "not applicable", "the model has no buffers")
        changed = [name for name, value in stored.items() if not same_bits(value, step.buffers.get(name, _ABSENT))]
        if not changed:
            return Check("buffers", "exact")
        wrong = [name for name in changed if not _close(stored[name], step.buffers.get(name))]
        if not wrong:
            return Check("buffers", "rounding", f"{_several(changed)}: other by rounding", len(changed))
        counters = [name for name in wrong if name.rpartition(".")[2] == "num_batches_tracked" and name in step.buffers]
        says = f"{_several(wrong)}: not what stored training leaves"
        if counters:
            counted, expected = int(step.buffers[counters[0]]), int(stored[counters[0]])
            says += f"; {counters[0]} counts {counted} where stored training counts {expected}"
        return Check("buffers", "fault", says, len(wrong))

    def _stream(self, step: _Step, strategy: Strategy) -> Check:
        moved = differing(self._stored.streams, step.streams)
        if not moved:
            return Check("random stream", "exact")
        if strategy.random:
            return Check("random stream", "not applicable", "the strategy draws random numbers of its own", len(moved))
        says = f"{' and '.join(moved)}: not where stored training leaves {'it' if len(moved) == 1 else 'them'}"
        return Check("random stream", "fault", says, len(moved))

    def _masks(self, strategy: Strategy) -> Check:
        if not self._random:
            return Check("masks", "not applicable", "the model draws no random numbers")
        model, batch, loss = self._model, self._batch, self._loss
        drawn = [] if strategy.random else drawn_in_backward(model, strategy, batch, loss)
        astray = other_masks(model, self._modules, self._reference, strategy, batch, loss, bool(drawn))
        if astray:
            says = f"the backward pass does not use the random numbers of the forward pass in {_several(astray)}"
            return Check("masks", "fault", says, len(astray))
        if drawn:
            says = f"the backward pass draws anew: with its random state changes the gradient of {_several(drawn)}"
            return Check("masks", "fault", says, len(drawn))
        return Check("masks", "exact")

    def _output(self, step: _Step) -> Check:
        stored = self._stored.outputs
        kinds = [[(one.dtype, tuple(one.shape)) for one in outputs] for outputs in (stored, step.outputs)]
        if kinds[0] != kinds[1]:
            texts = [", ".join(f"{str(dtype)[6:]} {list(shape)}" for dtype, shape in kind) for kind in kinds]
            return Check("output", "fault", f"{texts[1] or 'no tensor'} where stored training gives {texts[0]}", 1.0)
        pairs = list(zip(step.outputs, stored, strict=True))
        if all(same_bits(one, other) for one, other in pairs):
            return Check("output", "exact")
        distance = max(_distance(one, other) for one, other in pairs)
        if all(_close(other, one) for one, other in pairs):
            return Check(
                "output", "rounding", f"other than stored training's by {distance:.1e}, as by rounding", distance
            )
        says = f"other than stored training's by {distance:.1e} of its length"
        if self._random:
            says += "; the model is random, and other draws than stored training's make another output"
        return Check("output", "fault", says, distance)

    def _inputs(self, step: _Step) -> Check:
        written = [name for name in step.written if name not in self._stored.written]
        if written:
            return Check("inputs", "fault", f"{_several(written)}: written to", len(written))
        return Check("inputs", "exact")

    def _memory(self, strategy: Strategy) -> Check:
        more = self._left(strategy) - self._left_by_stored
        if more <= 0:
            return Check("memory", "exact")
        return Check("memory", "fault", f"{more:,} bytes are still held after the backward pass", more)

    @cached_property
    def _left_by_stored(self) -> int:
        return self._left(self._reference)

    def _left(self, strategy: Strategy) -> int:
        model = self._model
        with preserved(model, 0), strategy.applied_to(model):
            passes = forward_passes(model, strategy, self._batch, self._loss)
            return step_memory(model, list(tensors(self._batch)), *passes).left


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Return an output of the whole minibatch from those of its parts."""
    return torch.cat(list(parts)) if parts[0].dim() else torch.stack(list(parts))


def _several(names: list[str]) -> str:
    """Some names, the first three of them spelled out."""
    more = len(names) - 3
    return ", ".join(names[:3]) + (f" and {more} more" if more > 0 else "")


def _close(expected: Tensor, found: Tensor | None) -> bool:
    """Whether they are as near to each other as `torch.testing.assert_close` asks of their dtype."""
    if found is None or found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    try:
        torch.testing.assert_close(found, expected, equal_nan=True)
    except AssertionError:
        return False
    return expected.is_floating_point()


def _distance(found: Tensor, stored: Tensor) -> float:
    """Return |found - stored| / |stored|."""
    if not stored.is_floating_point():
        return float((found != stored).double().mean())
    return float((found.double() - stored.double()).norm() / stored.double().norm())
