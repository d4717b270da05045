"""The four arrays that every data set starts from, and the checks that they share. No torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

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

    Exact up to the last division: both follow from the counts of the 256 values.
    """
    values = np.arange(256, dtype=np.float64) / 255
    mean, std = [], []
    for channel in range(images.shape[-1]):
        share = np.bincount(images[..., channel].ravel(), minlength=256) / images[..., channel].size
        mean.append(float(share @ values))
        std.append(float(np.sqrt(share @ (values - mean[-1]) ** 2)))
    return mean, std


def require(settings: Data, **fixed: int) -> None:
    """Refuse settings that the data set does not have: `require(settings, classes=10)`.

    Raises:
        UsageError: a key of `fixed` has another value in `settings`.
    """
    for key, value in fixed.items():
        if getattr(settings, key) != value:
            raise UsageError(f"data.{key}: {settings.name} has {value}, got {getattr(settings, key)}")
