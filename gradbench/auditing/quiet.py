"""What packages of others warn of while they are measured is about how we call them, and nothing the user can mend."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from gradbench.strategies.adapters.adapter import Adapter
from gradbench.strategies.base import Strategy

__all__ = ["quiet"]


@contextmanager
def quiet(strategies: Iterable[Strategy]) -> Iterator[None]:
    """Ignore warnings that are raised in the packages that these strategies run, and no others."""
    with warnings.catch_warnings():
        for strategy in strategies:
            if isinstance(strategy, Adapter):
                warnings.filterwarnings("ignore", module=rf"{re.escape(strategy.package)}(\.|$)")
        yield
