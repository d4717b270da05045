"""A model that is measured is afterwards what it was before, after an exception too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from gradbench.auditing.record import Record
from gradbench.measure.random_state import fixed

__all__ = ["untouched"]


@contextmanager
def untouched(model: nn.Module) -> Iterator[Record]:
    """Leave the whole model and the streams of random numbers as they are now, whatever happens inside.

    It gives the record of the model that it is put back from.
    """
    record = Record(model)
    with fixed(next(model.parameters()).device):
        try:
            yield record
        finally:
            record.restore()
