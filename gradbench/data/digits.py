"""Real handwritten digits that ship with the package: 1,797 images of 8x8 pixels in ten classes.

E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998,
https://doi.org/10.24432/C50P49, licence CC BY 4.0. `digits.npz` holds what scikit-learn's `load_digits()` gives, in
its order and unchanged: `images` (1797, 8, 8) uint8 with values 0 to 16 and `labels` (1797,) uint8, the arguments of
`numpy.savez_compressed`.

The first 1,437 images are for training and the last 360 for tests, in the order of the data set.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradbench.data.arrays import Arrays, Pixels, require

if TYPE_CHECKING:
    import torch

    from gradbench.case.schema import Data
    from gradbench.data.dataset import Dataset

__all__ = ["identity", "load", "prepare"]

TRAINING_IMAGES = 1437
_FILE = files("gradbench.data") / "digits.npz"


def load(settings: Data, device: torch.device, seed: int) -> Dataset:
    """Return the digits, enlarged to `settings.image_size` and with three equal channels; the seed decides nothing."""
    from gradbench.data.dataset import Dataset

    prepare(settings)
    with _FILE.open("rb") as stream, np.load(stream) as file:
        images, labels = file["images"], file["labels"]
    x, cut = _enlarged(images, settings.image_size), TRAINING_IMAGES
    return Dataset.from_arrays("digits", Arrays(x[:cut], labels[:cut], x[cut:], labels[cut:]), 10, device)


def identity(settings: Data) -> str:
    """Return the digest of the shipped file and the size that its images are enlarged to."""
    return f"digits {hashlib.sha256(_FILE.read_bytes()).hexdigest()} at {settings.image_size}"


def prepare(settings: Data) -> None:
    """Refuse a number of classes other than ten; nothing is downloaded."""
    require(settings)


def _enlarged(images: Pixels, size: int) -> Pixels:
    """Return `images` (N, 8, 8) with values 0..16 as (N, size, size, 1) with values 0..255, bilinear.

    Interpolation is along one axis after the other, so it is a product with the same matrix on both sides. Where `size`
    is a power of two its entries are exact in binary and so are the pixels.
    """
    weights = _interpolation(images.shape[-1], size)
    pixels = weights @ (images * (255 / 16)) @ weights.T
    return np.rint(pixels).astype(np.uint8)[..., None]


def _interpolation(small: int, large: int) -> NDArray[np.float64]:
    """Return the (large, small) matrix of linear interpolation between pixel centres, edges held."""
    place = np.clip((np.arange(large) + 0.5) * small / large - 0.5, 0, small - 1)
    return np.maximum(0, 1 - np.abs(place[:, None] - np.arange(small)))
