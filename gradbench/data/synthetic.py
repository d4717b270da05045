"""Random images with a learnable label: each class has a smooth pattern of its own under heavy noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gradbench.data.arrays import Arrays

if TYPE_CHECKING:
    import torch

    from gradbench.case.schema import Data
    from gradbench.data.dataset import Dataset

__all__ = ["identity", "load", "prepare"]

TRAINING_IMAGES, TEST_IMAGES = 2048, 512


def load(settings: Data, device: torch.device, seed: int) -> Dataset:
    """Return 2,048 training and 512 test images of `image_size` in `classes` classes, decided by `seed` alone.

    A class's pattern is 4x4 random tiles a channel with values 64 to 191; a pixel is its pattern plus uniform noise of
    -64 to 63.
    """
    from gradbench.data.dataset import Dataset

    random = np.random.default_rng(seed)
    size, count = settings.image_size, TRAINING_IMAGES + TEST_IMAGES
    tile = np.arange(size) * 4 // size
    patterns = random.integers(64, 192, (settings.classes, 4, 4, 3), dtype=np.uint8)[:, tile][:, :, tile]
    y = random.permutation(np.arange(count) % settings.classes)
    noise = random.integers(0, 128, (count, size, size, 3), dtype=np.uint8)
    x, cut = patterns[y] - 64 + noise, TRAINING_IMAGES
    return Dataset.from_arrays("synthetic", Arrays(x[:cut], y[:cut], x[cut:], y[cut:]), settings.classes, device)


def identity(settings: Data) -> str:
    """Return the parameters of the images; the seed is the cell's own."""
    return f"synthetic {settings.classes} classes at {settings.image_size}"


def prepare(settings: Data) -> None:
    """Do nothing: every setting is allowed and nothing is downloaded."""
