"""What every adapter says when there is nothing to adapt: the package is absent, or the model has no part for it."""

from __future__ import annotations

from abc import abstractmethod
from importlib.util import find_spec
from typing import ClassVar

from torch import nn

from gradbench.strategies.base import Strategy

__all__ = ["Adapter"]


class Adapter(Strategy):
    """A strategy that runs the code of an installed package. Nothing is promised about it: it is there to be measured.

    Attributes:
        package: what is imported, and only while the strategy is applied.
        installed_as: what `pip install` calls it.
    """

    foreign = True
    package: ClassVar[str]
    installed_as: ClassVar[str]

    def applies_to(self, model: nn.Module) -> str | None:
        if find_spec(self.package) is None:
            return f"{self.package} is not installed: pip install {self.installed_as}"
        return self.nothing_in(model)

    @abstractmethod
    def nothing_in(self, model: nn.Module) -> str | None:
        """Return None, or in one sentence why `model` has nothing for the package."""
