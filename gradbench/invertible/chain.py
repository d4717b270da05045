"""A chain of invertible modules is one autograd node that keeps its output only.

The backward pass walks from the output to the input: each module rebuilds its input from its output, forms its
gradients with it, and what was rebuilt is dropped as soon as the next module has used it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from gradbench.invertible.gradients import Gradients, parameters_of
from gradbench.invertible.protocol import Invertible, steps_of
from gradbench.invertible.state import LayerError, Memo, State, as_output, as_state
from gradbench.invertible.watch import report, watching

__all__ = ["Chain", "storing"]


class Chain(Invertible):
    """Invertible modules one after the other; `Chain(a, b)` or, with names, `Chain({"first": a, "second": b})`.

    Each module takes k tensors and returns one tensor or a tuple of them, and has `inverse`. Submodules' forward hooks
    are called when the chain runs inside `storing`, or with gradients off.

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
        return iter(self._modules.values())  # type: ignore[arg-type]

    def forward(self, *x: Tensor) -> Tensor | State:
        """Return the last module's output, as one autograd node unless the chain is inside `storing`."""
        if self._stored or not torch.is_grad_enabled():
            return as_output(self._forward_stored(x))
        return _Node.apply(self, len(x), *x, *parameters_of(self))

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
                x = as_state(module(*x))  # type: ignore[misc]
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


_TENSOR = object()


def _take_tensors(memo: Memo, tensors: list[Tensor]) -> Memo:
    """Return `memo` with its tensors moved to the end of `tensors`."""
    if isinstance(memo, Tensor):
        tensors.append(memo)
        return _TENSOR
    return tuple(_take_tensors(part, tensors) for part in memo) if isinstance(memo, tuple) else memo


def _put_tensors(memo: Memo, tensors: Iterator[Tensor]) -> Memo:
    """Undo `_take_tensors`."""
    if memo is _TENSOR:
        return next(tensors)
    return tuple(_put_tensors(part, tensors) for part in memo) if isinstance(memo, tuple) else memo


def _autocast(device: str, dtype: torch.dtype, enabled: bool) -> AbstractContextManager[Any]:
    """Return the autocast state of the forward pass.

    Its cache of cast weights is off: what it would keep was cast without a graph, and would lose gradients elsewhere.
    """
    if not enabled and not torch.is_autocast_enabled(device):
        return nullcontext()
    return torch.autocast(device, dtype, enabled=enabled, cache_enabled=False)


class _Node(torch.autograd.Function):
    """The chain's node: inputs are the chain, the number of its input tensors, those tensors, its parameters."""

    @staticmethod
    def forward(ctx: FunctionCtx, chain: Chain, count: int, *tensors: Tensor) -> Any:  # type: ignore[override]
        """Run the chain without a graph and keep its output and its memos."""
        x, parameters = tensors[:count], tensors[count:]
        device = x[0].device.type
        autocast = (device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device))
        with _autocast(*autocast):
            y, memo = chain.run(x)
        saved = list(y)
        ctx.memo = _take_tensors(memo, saved)  # type: ignore[attr-defined]
        ctx.save_for_backward(*saved)
        ctx.chain, ctx.count, ctx.outputs = chain, count, len(y)  # type: ignore[attr-defined]
        ctx.autocast, ctx.parameters = autocast, parameters  # type: ignore[attr-defined]
        ctx.versions = [(id(parameter), parameter._version) for parameter in parameters]  # type: ignore[attr-defined]
        return as_output(y)

    @staticmethod
    def backward(ctx: Any, *dy: Tensor) -> Any:  # type: ignore[override]
        """Walk back from the output; the saved output and the incoming gradient are copied, then never written to."""
        if torch.is_grad_enabled():
            raise RuntimeError(
                "a chain cannot be differentiated twice: use storing(model) around the forward pass for create_graph"
            )
        if ctx.versions != [(id(parameter), parameter._version) for parameter in parameters_of(ctx.chain)]:
            raise RuntimeError("a parameter of the chain was changed or replaced between its forward and backward pass")
        saved = ctx.saved_tensors
        memo = _put_tensors(ctx.memo, iter(saved[ctx.outputs :]))
        wanted = ctx.needs_input_grad[2 + ctx.count :]
        gradients = Gradients(p for p, needed in zip(ctx.parameters, wanted, strict=True) if needed)
        with _autocast(*ctx.autocast):
            _, dx = ctx.chain.backward_step(
                tuple(tensor.clone() for tensor in saved[: ctx.outputs]),
                tuple(tensor.clone() for tensor in dy),
                memo,
                gradients,
            )
        return None, None, *dx, *(gradients.get(parameter) for parameter in ctx.parameters)
