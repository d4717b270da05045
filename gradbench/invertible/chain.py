"""A chain of invertible modules is one autograd node that keeps its output only.

The backward pass walks from the output to the input: each module rebuilds its input from its output, forms its
gradients with it, and what was rebuilt is dropped as soon as the next module has used it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gradbench.invertible.gradients import Gradients, parameters_of
from gradbench.invertible.node import ChainNode
from gradbench.invertible.protocol import Invertible, steps_of
from gradbench.invertible.state import LayerError, Memo, State, as_output, as_state
from gradbench.invertible.watch import report, watching

__all__ = ["Chain", "storing"]


class Chain(Invertible):
    """Invertible modules one after the other; `Chain(a, b)` or, with names, `Chain({"first": a, "second": b})`.

    Each module takes k tensors and returns one tensor or a tuple of them, and has `inverse`. Hooks of the modules are
    called when the chain runs inside `storing`, or with gradients off; hooks of tensors and parameters always.

    Raises:
        TypeError: a module has no `inverse`.
    """

    kind: ClassVar[str] = "chain"

    def __init__(self, *modules: nn.Module | dict[str, Any]) -> None:
        super().__init__()
        self._stored = 0
        named = modules[0] if len(modules) == 1 and isinstance(modules[0], dict) else dict(enumerate(modules))
        for name, module in named.items():
            if not callable(getattr(module, "inverse", None)):
                raise TypeError(f"{type(module).__name__} has no inverse: a chain needs modules that have one")
            self.add_module(str(name), module)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self._modules.values())

    def forward(self, *x: Tensor) -> Tensor | State:
        """Return the last module's output, as one autograd node unless the chain is inside `storing`."""
        if self._stored or not torch.is_grad_enabled():
            return as_output(self._forward_stored(x))
        return ChainNode.apply(self, len(x), *x, *parameters_of(self))

    def inverse(self, *y: Tensor) -> Tensor | State:
        """Return the first module's input, by each module's own `inverse`."""
        state: State = y
        for module in reversed(list(self)):
            inverse: Any = module.inverse
            state = as_state(inverse(*state))
        return as_output(state)

    def _forward_stored(self, x: State) -> State:
        for name, module in self._modules.items():
            try:
                x = as_state(module(*x))
            except LayerError as error:
                raise error.inside(name) from None
        return x

    def run(self, x: State) -> tuple[State, Memo]:
        """Return the output and the modules' memos."""
        memos = []
        for name, module in self._modules.items():
            try:
                x, memo = steps_of(module).run(x)
            except LayerError as error:
                raise error.inside(name) from None
            memos.append(memo)
        return x, tuple(memos)

    def rerun(self, x: State, memo: Memo) -> State:
        """Return the same output again."""
        for module, own in zip(self, memo, strict=True):
            x = steps_of(module).rerun(x, own)
        return x

    def invert(self, y: State, memo: Memo) -> State:
        """Return the first module's input."""
        for module, own in zip(reversed(list(self)), reversed(memo), strict=True):
            y = steps_of(module).invert(y, own)
        return y

    def backward_step(self, y: State, dy: State, memo: Memo, gradients: Gradients) -> tuple[State, State]:
        """Walk back through the modules."""
        for module, own in zip(reversed(list(self)), reversed(memo), strict=True):
            seen = tuple(tensor.clone() for tensor in y) if watching() else None
            # Popped, so that nothing but the step holds its arguments, and each is freed where it is replaced.
            handed_over = [dy, y]
            del y, dy
            y, dy = steps_of(module).backward_step(handed_over.pop(), handed_over.pop(), own, gradients)
            if seen is not None and not isinstance(module, Chain):
                report(module, y, seen)
        return y, dy


@contextmanager
def storing(model: nn.Module) -> Iterator[None]:
    """Make every chain of `model` ordinary autograd, which stores all activations. Contexts may be nested."""
    chains = [module for module in model.modules() if isinstance(module, Chain)]
    for chain in chains:
        chain._stored += 1
    try:
        yield
    finally:
        for chain in chains:
            chain._stored -= 1
