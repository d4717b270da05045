"""The four arrays that every data set starts from, and the checks that they share. No torch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradbench.data import DATASETS
from gradbench.errors import UsageError

if TYPE_CHECKING:
    from gradbench.case.schema import Data

__all__ = ["Arrays", "Pixels", "channel_statistics", "require"]

Pixels = NDArray[np.uint8]


class Arrays(NamedTuple):
    """Images (N, H, W, C) uint8 with C = 1 or 3, and labels (N,) of any integer type."""

    x_train: Pixels
    y_train: NDArray[np.integer]
    x_test: Pixels
    y_test: NDArray[np.integer]


def channel_statistics(images: Pixels) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of each channel of `images` (N, H, W, C), pixels scaled to 0..1.

    Sums are of integers, so the result does not depend on their order.
    """
    channels = images.shape[-1]
    rows = images.reshape(len(images), -1)
    sums = rows.sum(0, dtype=np.int64).reshape(-1, channels).sum(0)
    squares = np.square(rows, dtype=np.uint16).sum(0, dtype=np.int64).reshape(-1, channels).sum(0)
    count = images.size // channels
    mean = [total / count / 255 for total in sums.tolist()]
    pairs = zip(sums.tolist(), squares.tolist(), strict=True)
    std = [math.sqrt(count * square - total**2) / count / 255 for total, square in pairs]
    return mean, std


def require(settings: Data) -> None:
    """Refuse settings that the data set does not have: those of its entry's `defaults` are the only ones.

    Raises:
        UsageError: one of them has another value in `settings`.
    """
    for key, value in DATASETS[settings.name].defaults.items():
        if getattr(settings, key) != value:
            raise UsageError(f"data.{key}: {settings.name} has {value}, got {getattr(settings, key)}")
