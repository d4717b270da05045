"""Methods of a user's own, which inherit from nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


class Scaled:
    """The gradient of one parameter, by its name, times a factor."""

    def __init__(self, name: str, parameter: str, factor: float) -> None:
        self.name, self._parameter, self._factor = name, parameter, factor

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        hook = model.get_parameter(self._parameter).register_hook(lambda gradient: self._factor * gradient)
        try:
            yield
        finally:
            hook.remove()


#: In networks that begin with a convolution and a norm: three times the one's, a thousand times the other's, turned.
OWN = Scaled("own", "0.0.weight", 3)
TURNED = Scaled("turned", "0.1.weight", -1000)
