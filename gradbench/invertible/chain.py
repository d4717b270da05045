"""A chain of invertible modules is one autograd node that keeps its output only.

The backward pass walks from the output to the input: each module rebuilds its input from its output, forms its
gradients with it, and what was rebuilt is dropped as soon as the next module has used it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from gradbench.invertible.fused import NormActivation
from gradbench.invertible.gradients import Gradients, parameters_of
from gradbench.invertible.node import ChainNode, Disturbance
from gradbench.invertible.protocol import Invertible, steps_of
from gradbench.invertible.state import LayerError, Memo, State, as_output, as_state
from gradbench.invertible.watch import report, watching

__all__ = ["Chain", "rebuilding", "storing"]


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
        """Return the last module's output: one autograd node for each run of modules outside `storing`."""
        marks = [_mark_of(module) if torch.is_grad_enabled() else "stored" for module in self]
        if len(set(marks)) <= 1 and "stored" not in marks:
            return _apply_node(self, x, marks[0] if marks else None)
        parts = self._modules.items() if set(marks) == {"stored"} else self._runs(marks)
        return as_output(self._pass(x, lambda module, x: (as_state(module(*x)), None), parts)[0])

    def _runs(self, marks: list[_Mark]) -> Iterator[tuple[str, nn.Module]]:
        """Yield the stored modules by their names, and between them a chain, without one, for each run of others."""
        members = zip(self._modules.items(), marks, strict=True)
        for mark, run in itertools.groupby(members, lambda member: member[1]):
            named: dict[str, Any] = dict(item for item, _ in run)
            yield from named.items() if mark == "stored" else [("", Chain(named))]

    def inverse(self, *y: Tensor) -> Tensor | State:
        """Return the first module's input, by each module's own `inverse`."""
        state: State = y
        for module in reversed(list(self)):
            inverse: Any = module.inverse
            state = as_state(inverse(*state))
        return as_output(state)

    def run(self, x: State) -> tuple[State, Memo]:
        """Return the output and the modules' memos."""
        return self._pass(x, lambda module, x: steps_of(module).run(x), self._modules.items())

    def _pass(
        self,
        x: State,
        step: Callable[[nn.Module, State], tuple[State, Memo]],
        modules: Iterable[tuple[str, Any]],
    ) -> tuple[State, Memo]:
        """Return the last output of `step`, module by module, and its memos; errors name the module."""
        memos = []
        checking = not self._checked and not torch.compiler.is_compiling()
        for name, module in modules:
            try:
                x, memo = step(module, x)
                if checking:
                    _check_finite(x)
            except LayerError as error:
                raise (error.inside(name) if name else error) from None
            memos.append(memo)
        self._checked = self._checked or checking
        return x, tuple(memos)

    def rerun(self, x: State, memo: Memo) -> State:
        """Return the same output again."""
        for steps, own in self._steps(memo):
            x = steps.rerun(x, own)
        return x

    def _steps(self, memo: Memo, *, each: bool = False) -> list[tuple[Any, Memo]]:
        """Return what has the steps of each module, and its memo; a norm and its activation are one unless `each`."""
        modules, found, index = list(self), [], 0
        while index < len(modules):
            if not each and NormActivation.fits(modules[index : index + 2]):
                found.append((NormActivation(*modules[index : index + 2]), memo[index : index + 2]))
                index += 2
            else:
                found.append((steps_of(modules[index]), memo[index]))
                index += 1
        return found

    def invert(self, y: State, memo: Memo) -> State:
        """Return the first module's input."""
        for module, own in zip(reversed(list(self)), reversed(memo), strict=True):
            y = steps_of(module).invert(y, own)
        return y

    def backward_step(self, y: State, dy: State, memo: Memo, gradients: Gradients) -> tuple[State, State]:
        """Walk back through the modules."""
        watched = watching()
        for steps, own in reversed(self._steps(memo, each=watched)):
            seen = tuple(tensor.clone() for tensor in y) if watched else None
            # Popped, so that nothing but the step holds its arguments, and each is freed where it is replaced.
            handed_over = [dy, y]
            del y, dy
            y, dy = steps.backward_step(handed_over.pop(), handed_over.pop(), own, gradients)
            if seen is not None and not isinstance(steps, Chain):
                report(steps.module, y, seen)
        return y, dy


@torch.compiler.disable(reason="a chain of invertible modules runs as it is")
def _apply_node(chain: Chain, x: State, disturbed: Disturbance | None) -> Tensor | State:
    if torch._C._are_functorch_transforms_active():
        raise RuntimeError("a chain cannot be transformed by torch.func: use storing(model) around the call")
    return ChainNode.apply(chain, disturbed, len(x), *x, *parameters_of(chain))


def _check_finite(state: State) -> None:
    values = (tensor.detach() for tensor in state if not tensor.is_meta and not isinstance(tensor, FakeTensor))
    if not all(bool(value.isfinite().all()) for value in values):
        raise LayerError("gives values that are not finite")


#: How a module in a chain gets its activations, where not by its inverse alone: stored, or what disturbs its output.
_Mark: TypeAlias = Literal["stored"] | Disturbance | None
#: How many modules are marked at present: where there are none, a chain need not look.
_marked_modules = 0


def _mark_of(module: nn.Module) -> _Mark:
    """Return the mark of a module: of a chain that of all its modules, where they differ "stored".

    A module is stored where a part of it that computes something is.
    """
    if not _marked_modules:
        return None
    if isinstance(module, Chain):
        marks = {_mark_of(member) for member in module}
        return marks.pop() if len(marks) == 1 else "stored" if marks else None
    if any(vars(part).get("_mark") == "stored" for part in module.modules() if not isinstance(part, Chain)):
        return "stored"
    mark: _Mark = vars(module).get("_mark")
    return mark


def storing(model: nn.Module) -> AbstractContextManager[None]:
    """Make every module in a chain of `model` ordinary autograd, which stores all activations.

    `model` may be a part of a larger one, also one module of a chain, which is then two nodes, before and behind it.
    What is around a stored part, such as a coupling around a layer of its branch, runs by plain autograd as well.
    Contexts may be nested: the innermost counts.
    """
    return _marked(model, "stored")


def rebuilding(model: nn.Module, disturbed: Disturbance | None = None) -> AbstractContextManager[None]:
    """Undo `storing` for `model`, or a part of it: what stands in its chains is rebuilt again.

    Neighbours in a chain with an equal disturbance are one node. What an outer node runs again, such as the branches of
    a coupling, is not disturbed.

    Args:
        model: the model, or a part of it.
        disturbed: called at each forward pass of a node, for the function from the output that it keeps to the one that
            its backward pass starts from.
    """
    return _marked(model, disturbed)


@contextmanager
def _marked(model: nn.Module, mark: _Mark) -> Iterator[None]:
    before = [(module, vars(module).get("_mark")) for module in model.modules()]
    for module, _ in before:
        _set_mark(module, mark)
    try:
        yield
    finally:
        for module, was in before:
            _set_mark(module, was)


def _set_mark(module: nn.Module, mark: _Mark) -> None:
    """Only what is marked has the attribute, so that no module keeps a trace."""
    global _marked_modules
    attributes = vars(module)
    _marked_modules += (mark is not None) - ("_mark" in attributes)
    if mark is None:
        attributes.pop("_mark", None)
    else:
        attributes["_mark"] = mark
