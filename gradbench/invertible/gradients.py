"""Gradients of parameters, collected over the layers of one backward pass, and the recomputation that forms them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gradbench.invertible.replay import replayed
from gradbench.invertible.state import Memo, State, as_state

__all__ = ["Gradients", "parameters_of", "pull_back", "recompute", "vector_jacobian"]


def parameters_of(module: nn.Module) -> list[nn.Parameter]:
    """Return the module's parameters, each once. A fraction of the cost of `module.parameters()`."""
    found: dict[int, nn.Parameter] = {}
    waiting = [module]
    while waiting:
        current = waiting.pop()
        for parameter in current._parameters.values():
            if parameter is not None:
                found[id(parameter)] = parameter
        waiting.extend(child for child in current._modules.values() if child is not None)
    return list(found.values())


class Gradients:
    """The gradients of some parameters; those of a parameter that is used twice are summed."""

    def __init__(self, wanted: Iterable[nn.Parameter]) -> None:
        self._sums: dict[int, Tensor | None] = {id(parameter): None for parameter in wanted}

    def wants(self, parameter: nn.Parameter) -> bool:
        """Return whether this parameter's gradient is asked for."""
        return id(parameter) in self._sums

    def add(self, parameter: nn.Parameter, gradient: Tensor) -> None:
        """Add to a parameter's gradient; one that is not asked for is dropped."""
        key = id(parameter)
        if key in self._sums:
            known = self._sums[key]
            self._sums[key] = gradient if known is None else known + gradient

    def get(self, parameter: nn.Parameter) -> Tensor | None:
        """Return a parameter's gradient, None when nothing was added."""
        return self._sums.get(id(parameter))


def recompute(module: nn.Module, x: State, memo: Memo) -> tuple[State, State]:
    """Run an ordinary module again with gradients on; return its inputs, as leaves, and its outputs."""
    leaves = tuple(tensor.detach().requires_grad_() for tensor in x)
    with torch.enable_grad(), replayed(module, x, memo):
        return leaves, as_state(module(*leaves))


@contextmanager
def _without_hooks(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Keep the hooks of parameters for the gradient of the whole pass, to which autograd applies them."""
    held = [(hooks, dict(hooks)) for parameter in parameters if (hooks := parameter._backward_hooks)]
    for hooks, _ in held:
        hooks.clear()
    try:
        yield
    finally:
        for hooks, own in held:
            hooks.update(own)


def vector_jacobian(module: nn.Module, leaves: State, y: State, dy: State, gradients: Gradients) -> State:
    """Return the gradient of `leaves`, which may share memory with `dy`, and add the parameters', which do not."""
    parameters = [parameter for parameter in parameters_of(module) if gradients.wants(parameter)]
    pairs = [(output, gradient) for output, gradient in zip(y, dy, strict=True) if output.requires_grad]
    outputs, incoming = [output for output, _ in pairs], [gradient for _, gradient in pairs]
    with _without_hooks(parameters):
        found: Sequence[Tensor | None] = torch.autograd.grad(
            outputs, [*leaves, *parameters], incoming, allow_unused=True
        )
    dx = tuple(
        torch.zeros_like(leaf) if gradient is None else gradient for leaf, gradient in zip(leaves, found, strict=False)
    )
    places = {tensor.untyped_storage()._cdata for tensor in incoming}
    for parameter, gradient in zip(parameters, found[len(leaves) :], strict=True):
        if gradient is not None:
            shared = gradient.untyped_storage()._cdata in places
            gradients.add(parameter, gradient.clone() if shared else gradient)
    return dx


def pull_back(module: nn.Module, x: State, dy: State, memo: Memo, gradients: Gradients) -> State:
    """Return the gradient of `x` by one recomputation of an ordinary module, and add its parameters' gradients."""
    leaves, y = recompute(module, x, memo)
    return vector_jacobian(module, leaves, y, dy, gradients)
