"""Which layer is to blame? A strategy is applied to growing parts of a model until the gradient goes wrong.

The parts of a model are its blocks, from the output to the input, which is the way that gradients and rebuilt
activations take. Each is looked at twice, while all other parts are stored: `alone`, which finds a layer that is wrong
by itself, and `included`, together with every part nearer to the output, which finds where errors that add up have
become too large. The first part whose inclusion spoils the gradient is guilty, and its own parts are looked at in turn.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from gradbench.errors import UsageError
from gradbench.invertible import Chain
from gradbench.measure.batch import Batch, Loss, call
from gradbench.measure.gradients import Comparison, measure_gradients, preserved
from gradbench.measure.trial import why_excluded
from gradbench.measure.verdict import verdict, worst
from gradbench.results import RIGHT
from gradbench.strategies.base import Strategy
from gradbench.strategies.stored import Stored

__all__ = ["Effect", "Explanation", "Part", "explain"]

#: Sequences are taken apart into their members as long as there are no more parts than this.
MOST_PARTS = 24
#: Each strategy that is measured keeps a float64 number for every parameter: so many at a time.
AT_ONCE = 8

_Parts = dict[str, nn.Module]


@dataclass(frozen=True)
class Effect:
    """What a strategy does to the gradients of the whole model, where it is applied to some of it.

    Attributes:
        verdict: the worst of the weight tensors.
        parameter: the weight tensor that decides it.
        rel_error: its relative error.
        noise_ratio: its noise ratio.
        missing: parameters without the gradient that stored training gives them.
        changed_buffers: buffers that a step leaves other than stored training does.
        wrong: whether the verdict is none of those that are right, a gradient is missing or a buffer differs.
    """

    verdict: str
    parameter: str
    rel_error: float
    noise_ratio: float
    missing: tuple[str, ...]
    changed_buffers: tuple[str, ...]
    wrong: bool


@dataclass(frozen=True)
class Part:
    """A part of a model.

    Attributes:
        name: in the model.
        inside: the guilty part that it is a part of; empty for a block of the model.
        alone: the strategy on this part, all others stored.
        included: the strategy on this part and on all that are nearer to the output.
    """

    name: str
    inside: str
    alone: Effect
    included: Effect


@dataclass(frozen=True)
class Explanation:
    """Which part spoils the gradient.

    Attributes:
        strategy: its name.
        whole: the strategy on the whole model.
        parts: the blocks from the output to the input, then the parts of the guilty one in the same order, and so on.
        guilty: the smallest part whose inclusion spoils the gradient; empty where none does.
        alone: whether it does so alone.
    """

    strategy: str
    whole: Effect
    parts: tuple[Part, ...]
    guilty: str
    alone: bool

    @property
    def sentence(self) -> str:
        """The answer in one sentence."""
        guilty = next((part for part in reversed(self.parts) if part.name == self.guilty), None)
        if guilty is None and self.whole.wrong:
            return (
                f"No part is to blame: with {self.strategy} on the whole model {_said(self.whole)}, on its parts not."
            )
        if guilty is None:
            return f"No layer is to blame: with {self.strategy} on the whole model {_said(self.whole)}."
        if not self.alone:
            return (
                f"Errors add up to {self.guilty}: {self.strategy} spoils nothing on it alone, and with all that is "
                f"nearer to the output {_said(guilty.included)}."
            )
        others = [part.name for part in self.parts if part.inside == guilty.inside and part.alone.wrong]
        several = f" The same holds of {len(others) - 1} more of its kind." if len(others) > 1 else ""
        return f"{self.guilty} is to blame: with {self.strategy} on it alone {_said(guilty.alone)}.{several}"


def _said(effect: Effect) -> str:
    """What is so: "the gradient of head.weight is harmful (noise ratio 12, relative error 0.4)"."""
    said = f"the gradient of {effect.parameter} is {effect.verdict}"
    if effect.rel_error > 0:
        said += f" (noise ratio {effect.noise_ratio:.2g}, relative error {effect.rel_error:.2g})"
    if effect.missing:
        said = f"{effect.missing[0]} has no gradient"
    if effect.changed_buffers:
        said += f", and {effect.changed_buffers[0]} is not what a stored step leaves"
    return said


def explain(
    model: nn.Module,
    loss: Loss,
    batches: Sequence[Batch],
    strategy: Strategy,
    *,
    right: Collection[str] = RIGHT,
    reference: Strategy | None = None,
    truth_batches: int = 2,
) -> Explanation:
    """Name the first part of the model, from its output on, whose inclusion in a strategy spoils the gradient.

    Args:
        model: as it is trained; left as it was.
        loss: from output and target to the loss, `F.cross_entropy` for instance.
        batches: M >= 3 minibatches, drawn without replacement.
        strategy: whose gradients go wrong.
        right: the verdicts that are not wrong. Without `below-noise`, an error beyond rounding is.
        reference: the stored strategy; an arithmetic other than the model's own is part of it.
        truth_batches: how many minibatches are also run in float64, which tells `rounding` from `below-noise`.

    Raises:
        UsageError: the strategy does not apply to the model, or there are fewer than three minibatches.
    """
    if len(batches) < 3:
        raise UsageError(f"{len(batches)} minibatches are too few: a verdict needs three or more")
    if reason := why_excluded(model, strategy, batches[0]):
        raise UsageError(f"{strategy.name} cannot be explained: {reason}")
    if strategy.chunks > 1:
        raise UsageError(
            f"{strategy.name} cannot be explained: it divides the minibatch, which no part of the model does"
        )
    work = _Work(model, loss, batches, strategy.on_parts(), right, reference or Stored(), truth_batches)
    whole = work.measure([strategy])[strategy.name]
    parts: list[Part] = []
    guilty, level = "", work.parts_of(model, "")
    base: _Parts = {}
    while level:
        found = work.look(level, base, guilty)
        parts += found
        first = next((part for part in found if part.included.wrong), None)
        if first is None:
            break
        guilty = first.name
        nearer = list(level)[: list(level).index(guilty)]
        base = {**base, **{name: level[name] for name in nearer}}
        level = work.parts_of(level[guilty], guilty)
    named = [part for part in parts if part.name == guilty]
    return Explanation(strategy.name, whole, tuple(parts), guilty, bool(named) and named[-1].alone.wrong)


class _OnParts(Strategy):
    """A strategy on some parts of a model, the others stored."""

    def __init__(self, name: str, strategy: Strategy, parts: Sequence[nn.Module], reference: Strategy) -> None:
        self._name, self.strategy, self.parts, self.reference = name, strategy, parts, reference

    @property
    def name(self) -> str:
        return self._name

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        with self.reference.applied_to(model), ExitStack() as contexts:
            for part in self.parts:
                contexts.enter_context(self.strategy.applied_to(part))
            yield


@dataclass(frozen=True)
class _Work:
    """What is the same for all parts."""

    model: nn.Module
    loss: Loss
    batches: Sequence[Batch]
    on_parts: Strategy
    right: Collection[str]
    reference: Strategy
    truth_batches: int

    def look(self, level: _Parts, base: _Parts, inside: str) -> list[Part]:
        """Measure each part alone and included."""
        included = list(base.values())
        strategies = []
        for name, part in level.items():
            included = [*included, part]
            strategies.append(_OnParts(f"alone {name}", self.on_parts, [part], self.reference))
            if len(included) > 1:
                strategies.append(_OnParts(f"included {name}", self.on_parts, included, self.reference))
        effects = self.measure(strategies)
        return [
            Part(name, inside, effects[f"alone {name}"], effects.get(f"included {name}", effects[f"alone {name}"]))
            for name in level
        ]

    def measure(self, strategies: Sequence[Strategy]) -> dict[str, Effect]:
        """Return the effect of each strategy by its name."""
        found: dict[str, Comparison] = {}
        for first in range(0, len(strategies), AT_ONCE):
            some = strategies[first : first + AT_ONCE]
            found |= measure_gradients(
                self.model, self.reference, some, self.batches, self.truth_batches, loss=self.loss, truth=Stored()
            )
        return {name: self.effect(one) for name, one in found.items()}

    def effect(self, found: Comparison) -> Effect:
        """Reduce a comparison to its worst weight tensor."""
        weights = [self.model.get_parameter(one.parameter).dim() > 1 for one in found.gradients]
        looked_at = [
            one for one, is_weight in zip(found.gradients, weights, strict=True) if is_weight or not any(weights)
        ]
        decisive = worst(verdict(one) for one in looked_at)
        guilty = max((one for one in looked_at if verdict(one) == decisive), key=lambda one: _sortable(one.noise_ratio))
        missing = tuple(one.parameter for one in found.gradients if one.missing)
        changed = tuple(found.changed_buffers)
        return Effect(
            verdict=decisive,
            parameter=guilty.parameter,
            rel_error=guilty.rel_error,
            noise_ratio=guilty.noise_ratio,
            missing=missing,
            changed_buffers=changed,
            wrong=decisive not in self.right or bool(missing) or bool(changed),
        )

    def parts_of(self, whole: nn.Module, name: str) -> _Parts:
        """Return the parts of a module to which the strategy applies, by their names in the model, output first."""
        parts = _members(name, whole)
        while any(_is_sequence(part) for part in parts.values()):
            inner: _Parts = {}
            for each, part in parts.items():
                inner |= _members(each, part) if _is_sequence(part) else {each: part}
            hidden = any(isinstance(part, nn.ModuleList | nn.ModuleDict) for part in parts.values())
            if len(inner) > MOST_PARTS and not hidden:
                break
            parts = inner
        last_call = self.calls(parts)
        used = sorted((each for each in parts if each in last_call), key=lambda each: -last_call[each])
        return {each: parts[each] for each in used if self.on_parts.applies_to(parts[each]) is None}

    def calls(self, parts: _Parts) -> dict[str, int]:
        """Return for each part that the forward pass runs when it does so for the last time: 0, 1, ..."""
        order: list[str] = []
        with preserved(self.model), torch.no_grad(), self.reference.applied_to(self.model), ExitStack() as hooks:
            for name, part in parts.items():
                hook = part.register_forward_hook(lambda module, inputs, output, name=name: order.append(name))
                hooks.callback(hook.remove)
            call(self.model, self.batches[0][0])
        return {name: place for place, name in enumerate(order)}


def _members(name: str, module: nn.Module) -> _Parts:
    return {f"{name}.{child}" if name else child: part for child, part in module.named_children()}


def _is_sequence(module: nn.Module) -> bool:
    """Return whether a module is nothing but its members, one after the other or without a forward pass of its own."""
    return isinstance(module, Chain | nn.Sequential | nn.ModuleList | nn.ModuleDict) and len(module) > 0


def _sortable(ratio: float) -> float:
    return math.inf if math.isnan(ratio) else ratio
