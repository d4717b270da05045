"""What a step drew at random, drawn again in another dtype.

From the same seed a generator may give float64 other numbers than float32, as a CPU does of uniform ones. A float64
step that is to be the truth of a float32 step has to use what that one drew: else its distance is that of two masks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from gradbench.measure.random_state import differing, generators, restore

__all__ = ["Drawing", "DrawsDiffer", "Redrawing"]

#: Operations whose only result is what they drew.
_NUMBERS = frozenset(
    f"aten::{name}"
    for name in (
        *("bernoulli", "bernoulli_", "cauchy_", "exponential_", "geometric_", "log_normal_", "multinomial", "normal"),
        *("normal_", "poisson", "rand", "rand_like", "randint", "randint_like", "randn", "randn_like", "randperm"),
        *("random_", "uniform_"),
    )
)
_DROPOUT = "aten::native_dropout"
_RANDOM_SLOPES = ("aten::rrelu_with_noise", "aten::rrelu_with_noise_")


class DrawsDiffer(Exception):
    """A step does not tell what it draws, or draws something else than the one that was recorded."""


class Drawing(TorchDispatchMode):
    """While it is on, keeps a copy of all that operations draw from torch's generators, in order.

    Args:
        device: the model's.

    Raises:
        DrawsDiffer: an operation draws and does not tell what.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device
        self.drawn: list[tuple[str, Tensor]] = []

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name, kwargs = _name(func), kwargs or {}
        if not _tells(func, args, kwargs):
            return _silent(self.device, func, args, kwargs)
        result = func(*args, **kwargs)
        drawn = result[1] if name == _DROPOUT else args[1] if name in _RANDOM_SLOPES else result
        self.drawn.append((name, drawn.clone()))
        return result


class Redrawing(TorchDispatchMode):
    """While it is on, operations draw what was drawn before, whatever the dtype of their tensors.

    Args:
        device: the model's.
        drawn: what `Drawing` kept.

    Raises:
        DrawsDiffer: an operation draws that drew nothing or something else at its place before, or does not tell what;
            at the end, when some of what was drawn is left, or a generator was used behind its back.
    """

    def __init__(self, device: torch.device, drawn: list[tuple[str, Tensor]]) -> None:
        super().__init__()
        self.device = device
        self._left = iter(drawn)

    def __enter__(self) -> Self:
        self._before = generators(self.device)
        super().__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: Any) -> None:
        super().__exit__(kind, error, trace)
        if kind is None and (left := next(self._left, None)):
            raise DrawsDiffer(f"nothing draws where {left[0]} drew before")
        if kind is None and differing(self._before, generators(self.device)):
            raise DrawsDiffer("something draws outside of torch's operations in this thread")

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name, kwargs = _name(func), kwargs or {}
        if not _tells(func, args, kwargs):
            return _silent(self.device, func, args, kwargs)
        if name in _RANDOM_SLOPES:
            x, slopes = args[:2]
            self._put(name, slopes)
            return x.mul_(slopes) if name.endswith("_") else x * slopes
        before = generators(self.device)
        result = func(*args, **kwargs)
        restore(before, self.device)
        if name == _DROPOUT:
            x, share = args[:2]
            mask = self._put(name, result[1])
            return x * mask * (1 / (1 - share) if share < 1 else 0.0), mask
        return self._put(name, result)

    def _put(self, name: str, numbers: Tensor) -> Tensor:
        """Overwrite what was drawn now with what was drawn before, and return it."""
        before, drawn = next(self._left, ("nothing", torch.empty(0)))
        if before != name or drawn.shape != numbers.shape:
            raise DrawsDiffer(f"{name} {tuple(numbers.shape)} draws where {before} {tuple(drawn.shape)} drew before")
        return numbers.copy_(drawn)


def _name(func: Any) -> str:
    return str(func._schema.name)


def _tells(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether an operation draws, and its result or an argument is what it drew."""
    name = _name(func)
    if name == _DROPOUT:
        train = args[2] if len(args) > 2 else kwargs.get("train")
        return train is not False and not func._overloadname.endswith("out")
    if name in _RANDOM_SLOPES:
        training = args[4] if len(args) > 4 else kwargs.get("training", False)
        return bool(training) and not func._overloadname.endswith("out")
    return name in _NUMBERS


def _silent(device: torch.device, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call an operation that must not draw."""
    if torch.Tag.nondeterministic_seeded not in func.tags:
        return func(*args, **kwargs)
    before = generators(device)
    result = func(*args, **kwargs)
    if differing(before, generators(device)):
        raise DrawsDiffer(f"{_name(func)} does not tell what it draws")
    return result
