"""What a step drew at random, drawn again in another dtype.

From the same seed a generator may give float64 other numbers than float32, as a CPU does of uniform ones. A float64
step that is to be the truth of a float32 step has to use what that one drew: else its distance is that of two masks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["Drawing", "DrawsDiffer", "Redrawing"]

#: Operations whose only result, or whose tensor in place, is what they drew.
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
    """The step draws inside an operation that keeps to itself what it drew, or not what the recorded one drew."""


class Drawing(TorchDispatchMode):
    """While it is on, keeps a copy of all that operations draw from torch's generators, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn: list[tuple[str, Tensor]] = []

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = _name(func)
        result = _told(func, args, kwargs or {})
        if name in _NUMBERS:
            self.drawn.append((name, result.clone()))
        elif name == _DROPOUT:
            self.drawn.append((name, result[1].clone()))
        elif name in _RANDOM_SLOPES:
            self.drawn.append((name, args[1].clone()))
        return result


class Redrawing(TorchDispatchMode):
    """While it is on, operations draw what was drawn before, whatever the dtype of their tensors.

    Args:
        drawn: what `Drawing` kept.

    Raises:
        DrawsDiffer: an operation draws that drew nothing or something else at its place before, or that does not tell
            what it draws.
    """

    def __init__(self, drawn: list[tuple[str, Tensor]]) -> None:
        super().__init__()
        self._left = iter(drawn)

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = _name(func)
        if name in _NUMBERS:
            if name.endswith("_"):
                return args[0].copy_(self._next(name, args[0].shape))
            drawn = self._next(name)
            like = args[0].dtype if args and isinstance(args[0], Tensor) and drawn.is_floating_point() else drawn.dtype
            return drawn.to((kwargs or {}).get("dtype") or like)
        if name == _DROPOUT:
            x, share = args[:2]
            mask = self._next(name, x.shape)
            return x * mask * (1 / (1 - share) if share < 1 else 0.0), mask
        if name in _RANDOM_SLOPES:
            x, slopes = args[:2]
            slopes.copy_(self._next(name, x.shape))
            return x.mul_(slopes) if name.endswith("_") else x * slopes
        return _told(func, args, kwargs or {})

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: Any) -> None:
        super().__exit__(kind, error, trace)
        if kind is None and (left := next(self._left, None)):
            raise DrawsDiffer(f"nothing draws where {left[0]} drew before")

    def _next(self, name: str, shape: torch.Size | None = None) -> Tensor:
        before, drawn = next(self._left, ("", torch.empty(0)))
        if before != name or shape not in (None, drawn.shape):
            raise DrawsDiffer(f"{name} draws where {before or 'nothing'} drew before")
        return drawn


def _name(func: Any) -> str:
    return str(func._schema.name)


def _told(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call an operation, which may draw at random only where it tells what it drew."""
    name = _name(func)
    if torch.Tag.nondeterministic_seeded not in func.tags or name in (*_NUMBERS, _DROPOUT, *_RANDOM_SLOPES):
        return func(*args, **kwargs)
    before = _states()
    result = func(*args, **kwargs)
    if not all(map(torch.equal, before, _states())):
        raise DrawsDiffer(f"{name} does not tell what it draws")
    return result


def _states() -> list[Tensor]:
    """Where torch's generators stand: the host's, and that of each GPU that is in use."""
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return [torch.get_rng_state(), *gpus]
