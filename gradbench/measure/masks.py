"""Does the backward pass use the random numbers that the forward pass drew: dropout masks, slopes, dropped paths?

Two looks. From outside: the gradient must not change with where the random streams stand when the backward pass begins.
From inside: the gradient that a random module passes on is held against that of the module alone, run again on the
same input from the same random state, and from others: is it nearer to the first, by as much as these are apart? Where
a strategy's own error is larger than what lies between two masks, one step may answer wrongly, and several are asked.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten
from torch.utils.hooks import RemovableHandle

from gradbench.measure.batch import Batch, Loss, call, tensors
from gradbench.measure.flat import FlatGradients
from gradbench.measure.gradients import preserved
from gradbench.measure.random_state import differing, restore, seed_all, streams
from gradbench.measure.step import forward_passes
from gradbench.strategies.base import Strategy

__all__ = ["drawn_in_backward", "other_masks", "random_modules"]

#: Fresh draws that tell how far apart two masks are.
_DRAWS = 4
#: Steps that are made where one suggests other masks.
_STEPS = 12
#: Standard errors that must lie between them and the forward pass's masks.
_CLEAR = 4
#: What rounding to eight bits of mantissa may change, in power.
_ROUNDING = 1e-4


def random_modules(model: nn.Module, reference: Strategy, batch: Batch) -> list[tuple[str, nn.Module]]:
    """Return the innermost modules, with their names, whose forward pass draws random numbers in stored training."""
    device = next(model.parameters()).device
    open_calls: list[tuple[dict[str, Any], bool]] = []
    found: dict[nn.Module, None] = {}

    def enter(module: nn.Module, arguments: Any) -> None:
        if not torch.compiler.is_compiling():
            open_calls.append((streams(device), False))

    def leave(module: nn.Module, arguments: Any, output: Any) -> None:
        if torch.compiler.is_compiling():
            return
        before, inner = open_calls.pop()
        drew = bool(differing(before, streams(device)))
        if drew and not inner:
            found[module] = None
        if drew and open_calls:
            open_calls[-1] = (open_calls[-1][0], True)

    hooks: list[RemovableHandle] = []
    for module in model.modules():
        hooks += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
    with _removed(hooks), preserved(model, 0), torch.no_grad(), reference.applied_to(model):
        call(model, batch[0])
    return [(name, module) for name, module in model.named_modules() if module in found]


def drawn_in_backward(model: nn.Module, strategy: Strategy, batch: Batch, loss: Loss) -> list[str]:
    """Return the parameters whose gradient changes with the random state in which the backward pass begins."""
    flat = FlatGradients(model)
    first, again, other = (_gradients(model, strategy, batch, loss, flat, seed) for seed in (1, 1, 2))
    noise, change = (flat.sums((one - first).square()).nan_to_num().tolist() for one in (again, other))
    # What repeats to the bit is compared to the bit; else a change must be clear of rounding and of a repetition's.
    rounding = flat.sums(first.square()).mul(1e-6 if any(noise) else 0).nan_to_num().tolist()
    return [
        name for name, a, b, least in zip(flat.names, noise, change, rounding, strict=True) if b > 16 * a and b > least
    ]


def _gradients(
    model: nn.Module, strategy: Strategy, batch: Batch, loss: Loss, flat: FlatGradients, seed: int
) -> Tensor:
    with preserved(model, 0):
        model.zero_grad(set_to_none=True)
        with strategy.applied_to(model):
            for place, forward in enumerate(forward_passes(model, strategy, batch, loss)):
                if place:
                    seed_all(-place % 2**63, flat.lengths.device)  # the forward pass of a part draws the same again
                value = forward()
                seed_all(seed, flat.lengths.device)
                value.backward()
        return flat.take(model)[0]


def other_masks(
    model: nn.Module,
    modules: list[tuple[str, nn.Module]],
    reference: Strategy,
    strategy: Strategy,
    batch: Batch,
    loss: Loss,
    drawn: bool,
) -> list[str]:
    """Return the names of those of `modules` that pass on the gradient of another draw than their forward pass's.

    What runs compiled cannot be looked into, and is passed over. With `drawn` it is known that there are other draws,
    and whatever is off by more than rounding has one.
    """
    likenesses = partial(_likenesses, model, dict(modules), reference, strategy, batch, loss, drawn)
    first = likenesses(seed=0)
    suspects = [name for name, _ in modules if min(first[name], default=1) < 0.5]
    if drawn or not suspects:
        return suspects
    more = [first, *(likenesses(seed=seed) for seed in range(1, _STEPS))]
    return [name for name in suspects if any(map(_is_other, zip(*(step[name] for step in more), strict=False)))]


def _is_other(likenesses: tuple[float, ...]) -> bool:
    """Return whether the same place of several steps is nearer to 0, other draws, than to 1, and clearly not at 1."""
    mean, spread = statistics.mean(likenesses), statistics.stdev(likenesses)
    return mean < 0.5 and mean + _CLEAR * spread / len(likenesses) ** 0.5 < 1


def _likenesses(
    model: nn.Module,
    modules: dict[str, nn.Module],
    reference: Strategy,
    strategy: Strategy,
    batch: Batch,
    loss: Loss,
    drawn: bool,
    seed: int,
) -> dict[str, list[float]]:
    """Make a step and return for each module, by name, the likeness of each gradient that passed through it."""
    watch = _Watch(list(modules.values()), next(model.parameters()).device)
    with watch, preserved(model, seed):
        model.zero_grad(set_to_none=True)
        with strategy.applied_to(model):
            for forward in forward_passes(model, strategy, batch, loss):
                watch.forward = True
                value = forward()
                watch.forward = False
                value.backward()
    with preserved(model), reference.applied_to(model):
        return {name: watch.likenesses(module, drawn) for name, module in modules.items()}


@dataclass(frozen=True)
class _Call:
    """A module's arguments in the forward pass, and where the random streams stood."""

    leaves: list[Any]
    spec: TreeSpec
    streams: dict[str, Any]


@dataclass
class _Passed:
    """The gradients of one call's outputs and of its inputs, by their position among the leaves."""

    outputs: dict[int, Tensor] = field(default_factory=dict)
    inputs: dict[int, Tensor] = field(default_factory=dict)


class _Watch:
    """Sees what some modules are given and the gradients that pass through them, until the context ends."""

    def __init__(self, modules: list[nn.Module], device: torch.device) -> None:
        self.device = device
        self.forward = True
        self.calls: dict[nn.Module, list[_Call]] = {module: [] for module in modules}
        self.passed: dict[nn.Module, list[_Passed]] = {module: [] for module in modules}
        self._open: list[_Passed] = []

    def __enter__(self) -> None:
        self._hooks = [
            hook
            for module in self.calls
            for hook in (
                module.register_forward_pre_hook(self._enter, with_kwargs=True),
                module.register_forward_hook(self._leave),
            )
        ]

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> Any:
        if torch.compiler.is_compiling():
            return None
        leaves, spec = tree_flatten((args, kwargs))
        if self.forward:
            kept = [leaf.detach().clone() if isinstance(leaf, Tensor) else leaf for leaf in leaves]
            self.calls[module].append(_Call(kept, spec, streams(self.device)))
        passed = _Passed()
        self._open.append(passed)
        self.passed[module].append(passed)
        for place, leaf in enumerate(leaves):
            if isinstance(leaf, Tensor) and leaf.requires_grad and torch.is_grad_enabled():
                # A name of its own, whose gradient is the one that comes through this module alone.
                leaves[place] = leaf.view_as(leaf)
                leaves[place].register_hook(partial(passed.inputs.__setitem__, place))
        return tree_unflatten(leaves, spec)

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        if torch.compiler.is_compiling():
            return
        passed = self._open.pop()
        for place, leaf in enumerate(tensors(output)):
            if leaf.requires_grad:
                leaf.register_hook(partial(passed.outputs.__setitem__, place))

    def likenesses(self, module: nn.Module, drawn: bool) -> list[float]:
        """Return how like each gradient that passed through `module` is to that of a call of the forward pass.

        What comes in not finite is another module's fault, and left out.
        """
        return [
            max((self._likeness(module, one, passed, drawn) for one in self.calls[module]), default=0.0)
            for passed in self.passed[module]
            if passed.inputs and passed.outputs and all(map(_finite, passed.outputs.values()))
        ]

    def _likeness(self, module: nn.Module, one: _Call, passed: _Passed, drawn: bool) -> float:
        """Return 1 where a gradient has the masks of a call, and 0 where it has others: on average, if it has an error.

        An error that knows nothing of masks is as large from either: from fresh draws such a gradient is farther than
        from the true one by what lies between them. With masks of its own it is as far from all.
        """
        true = self._replayed(module, one, passed, None)
        if true is None:
            return 0.0
        found = torch.cat([passed.inputs[place].flatten() for place in sorted(passed.inputs)]).double()
        if not (_finite(found) and _finite(true)):
            return float(not _finite(true))  # nothing tells masks apart that no draw leaves finite
        distance = float((found - true).square().sum())
        if distance == 0 or drawn:
            return float(distance <= _ROUNDING * float(true.square().sum()))
        fresh = [self._replayed(module, one, passed, seed) for seed in range(_DRAWS)]
        draws = [draw for draw in fresh if draw is not None]
        apart = sum(float((draw - true).square().sum()) for draw in draws)
        if apart == 0:
            return 1.0  # these draws make no difference
        return sum(float((found - draw).square().sum()) - distance for draw in draws) / apart

    def _replayed(self, module: nn.Module, one: _Call, passed: _Passed, seed: int | None) -> Tensor | None:
        """Return the gradients of the inputs of the module alone, from its own random state or from `seed`."""
        leaves = [leaf.clone() if isinstance(leaf, Tensor) else leaf for leaf in one.leaves]
        wanted = sorted(passed.inputs)
        if any(
            place >= len(leaves) or leaves[place].shape != gradient.shape for place, gradient in passed.inputs.items()
        ):
            return None
        for place in wanted:
            leaves[place].requires_grad_()
        restore(one.streams, self.device)
        if seed is not None:
            seed_all(seed, self.device)
        # A module that works in place may not write to a leaf, but to a view of it.
        views = [leaf.view_as(leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        args, kwargs = tree_unflatten(views, one.spec)
        outputs = list(tensors(module(*args, **kwargs)))
        chosen = sorted(passed.outputs)
        if any(place >= len(outputs) or outputs[place].shape != passed.outputs[place].shape for place in chosen):
            return None
        gradients = torch.autograd.grad(
            [outputs[place] for place in chosen],
            [leaves[place] for place in wanted],
            [passed.outputs[place] for place in chosen],
            allow_unused=True,
            materialize_grads=True,
        )
        return torch.cat([gradient.flatten() for gradient in gradients]).double()


def _finite(tensor: Tensor) -> bool:
    return bool(tensor.isfinite().all())


@contextmanager
def _removed(hooks: list[RemovableHandle]) -> Iterator[None]:
    """Remove the hooks at the end."""
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
