"""A chain of invertible modules is one autograd node that keeps its output only.

The backward pass walks from the output to the input: each module rebuilds its input from its output, forms its
gradients with it, and what was rebuilt is dropped as soon as the next module has used it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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

    A compiled model (`torch.compile`) runs a chain as it is; transforms of `torch.func` and a second differentiation
    need `storing`. The first forward pass checks that every module gives finite values: it waits for the device.

    Raises:
        TypeError: a module has no `inverse`.
        LayerError: at a forward pass: a module was given what it cannot take, or gave values that are not finite.
        RuntimeError: at a forward pass: the chain is inside a transform of `torch.func`.
    """

    kind: ClassVar[str] = "chain"

    def __init__(self, *modules: nn.Module | dict[str, Any]) -> None:
        super().__init__()
        self._stored = 0
        self._checked = False
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
            return as_output(self._pass(x, lambda module, x: (as_state(module(*x)), None))[0])
        return _apply_node(self, x)

    def inverse(self, *y: Tensor) -> Tensor | State:
        """Return the first module's input, by each module's own `inverse`."""
        state: State = y
        for module in reversed(list(self)):
            inverse: Any = module.inverse
            state = as_state(inverse(*state))
        return as_output(state)

    def run(self, x: State) -> tuple[State, Memo]:
        """Return the output and the modules' memos."""
        return self._pass(x, lambda module, x: steps_of(module).run(x))

    def _pass(self, x: State, step: Callable[[nn.Module, State], tuple[State, Memo]]) -> tuple[State, Memo]:
        """Return the last output of `step`, module by module, and its memos; errors name the module."""
        memos = []
        checking = not self._checked and not torch.compiler.is_compiling()
        for name, module in self._modules.items():
            try:
                x, memo = step(module, x)
                if checking:
                    _check_finite(x)
            except LayerError as error:
                raise error.inside(name) from None
            memos.append(memo)
        self._checked = self._checked or checking
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


@torch.compiler.disable(reason="a chain of invertible modules runs as it is")
def _apply_node(chain: Chain, x: State) -> Tensor | State:
    if torch._C._are_functorch_transforms_active():
        raise RuntimeError("a chain cannot be transformed by torch.func: use storing(model) around the call")
    return ChainNode.apply(chain, len(x), *x, *parameters_of(chain))


def _check_finite(state: State) -> None:
    if not all(bool(tensor.detach().isfinite().all()) for tensor in state if not tensor.is_meta):
        raise LayerError("gives values that are not finite")


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
