"""An object with the protocol of a strategy, as a strategy; and one under guard, which leaves the model as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from torch import nn

from gradbench.auditing.record import Record
from gradbench.strategies.base import Strategy

__all__ = ["Guarded", "NotRestored", "Own"]

_FLAGS = ("rebuilds", "random", "compiles", "foreign", "chunks")


class NotRestored(Exception):
    """A strategy leaves the model other than it was; the text says what of it."""


class Own(Strategy):
    """A strategy that says what another object says, which need not inherit from `Strategy` nor have all of it.

    Args:
        own: has a name and `applied_to(model)`, and whatever else of a strategy it likes.
    """

    def __init__(self, own: Any) -> None:
        self._own = own
        for flag in _FLAGS:
            setattr(self, flag, getattr(own, flag, getattr(Strategy, flag)))

    @property
    def name(self) -> str:
        """Its own name."""
        return str(self._own.name)

    def applies_to(self, model: nn.Module) -> str | None:
        """Return what it says, if it says anything."""
        return getattr(self._own, "applies_to", super().applies_to)(model)

    def finds_nothing(self, model: nn.Module, forward: Callable[[], object]) -> str | None:
        """Return what it says, if it says anything."""
        return getattr(self._own, "finds_nothing", super().finds_nothing)(model, forward)

    def notes(self, model: nn.Module) -> list[str]:
        """Return what it says, if it says anything."""
        return getattr(self._own, "notes", super().notes)(model)

    def applied_to(self, model: nn.Module) -> AbstractContextManager[None]:
        """Return its own context."""
        return self._own.applied_to(model)


class Guarded(Own):
    """A strategy that fails where it leaves the model changed, and whose failures leave the model as it was.

    What it raises has its name as the attribute `gradbench_strategy`.

    Args:
        own: a strategy.
        record: of the model. Applied to another one, such as a copy, the strategy is not looked at.
    """

    def __init__(self, own: Strategy, record: Record) -> None:
        super().__init__(own)
        self._record = record

    def applies_to(self, model: nn.Module) -> str | None:
        """Return what it says."""
        with self._guard(model):
            return super().applies_to(model)

    def finds_nothing(self, model: nn.Module, forward: Callable[[], object]) -> str | None:
        """Return what it says."""
        with self._guard(model):
            return super().finds_nothing(model, forward)

    def notes(self, model: nn.Module) -> list[str]:
        """Return what it says."""
        with self._guard(model):
            return super().notes(model)

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        """Look at the model when its own context has closed.

        Raises:
            NotRestored: it is not as it was.
        """
        with self._guard(model), super().applied_to(model):
            yield

    @contextmanager
    def _guard(self, model: nn.Module) -> Iterator[None]:
        if model is not self._record.model:
            yield
            return
        before = Record(model, self._record)
        try:
            yield
            if changed := before.changed():
                more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
                raise NotRestored(f"it leaves the model changed: {', '.join(changed[:3])}{more}")
        except Exception as error:
            before.restore()
            error.gradbench_strategy = self.name  # type: ignore[attr-defined]
            raise
