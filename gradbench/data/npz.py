"""A user's own images: a .npz file with the arrays x_train, y_train, x_test and y_test.

Images are uint8, (N, H, W, C) or (N, C, H, W) with 1 or 3 channels, or (N, H, W); labels are integers from 0. The file
must agree with the case: `data.image_size` is its height and width, and no label reaches `data.classes`.
"""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradbench.data.arrays import Arrays, Pixels
from gradbench.errors import UsageError

if TYPE_CHECKING:
    import torch

    from gradbench.case.schema import Data
    from gradbench.data.dataset import Dataset

__all__ = ["identity", "load", "prepare"]


def load(settings: Data, device: torch.device, seed: int) -> Dataset:
    """Return the file's images; mean and standard deviation are those of x_train, and the seed decides nothing.

    Raises:
        UsageError: the file is missing, is no such file, or does not agree with the settings.
    """
    from gradbench.data.dataset import Dataset

    return Dataset.from_arrays("npz", _read(settings), settings.classes, device)


def identity(settings: Data) -> str:
    """Return the digest of the file, wherever it lies."""
    with _path(settings).open("rb") as stream:
        return f"npz {hashlib.file_digest(stream, 'sha256').hexdigest()}"


def prepare(settings: Data) -> None:
    """Check the whole file.

    Raises:
        UsageError: as `load`.
    """
    _read(settings)


def _path(settings: Data) -> Path:
    if settings.path is None:
        raise UsageError("data.path: data set 'npz' needs the path of its file")
    path = Path(settings.path).expanduser()
    if not path.is_file():
        raise UsageError(f"data.path: there is no file {settings.path!r}")
    return path


def _read(settings: Data) -> Arrays:
    path = _path(settings)
    try:
        file = np.load(path, allow_pickle=False)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path}: not a .npz file that numpy can read ({error})") from error
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise UsageError(f"{path}: a single array, not a .npz file with {', '.join(Arrays._fields)}")
    with file:
        missing = [name for name in Arrays._fields if name not in file]
        if missing:
            raise UsageError(f"{path}: has no array {', '.join(missing)}; it has {', '.join(file.files) or 'none'}")
        try:
            arrays = {name: file[name] for name in Arrays._fields}
        except (ValueError, zipfile.BadZipFile) as error:
            raise UsageError(f"{path}: damaged ({error})") from error
    x = {half: _images(arrays[f"x_{half}"], settings, f"{path}: x_{half}") for half in ("train", "test")}
    for half in ("train", "test"):
        _check_labels(arrays[f"y_{half}"], len(x[half]), settings.classes, f"{path}: y_{half}")
    if x["train"].shape[1:] != x["test"].shape[1:]:
        raise UsageError(f"{path}: x_train and x_test differ in their channels")
    if min(np.ptp(x["train"], axis=(0, 1, 2))) == 0:
        raise UsageError(f"{path}: a channel of x_train has one value only, so it cannot be normalised")
    return Arrays(x["train"], arrays["y_train"], x["test"], arrays["y_test"])


def _images(images: np.ndarray[Any, Any], settings: Data, where: str) -> Pixels:
    """Return `images` as (N, H, W, C)."""
    if images.dtype != np.uint8:
        raise UsageError(f"{where} must be uint8 (0 to 255), got {images.dtype}")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim == 4 and images.shape[3] not in (1, 3) and images.shape[1] in (1, 3):
        images = images.transpose(0, 2, 3, 1)
    if images.ndim != 4 or images.shape[3] not in (1, 3) or len(images) == 0:
        raise UsageError(f"{where} must be (N, H, W, C) or (N, C, H, W) with 1 or 3 channels, got {images.shape}")
    if images.shape[1:3] != (settings.image_size, settings.image_size):
        raise UsageError(
            f"data.image_size: {where} has images of {images.shape[1]}x{images.shape[2]}, got {settings.image_size}"
        )
    return images


def _check_labels(labels: np.ndarray[Any, Any], count: int, classes: int, where: str) -> None:
    if labels.dtype.kind not in "iu":
        raise UsageError(f"{where} must be integers, got {labels.dtype}")
    if labels.shape != (count,):
        raise UsageError(f"{where} must be ({count},), one label an image, got {labels.shape}")
    if labels.min() < 0 or labels.max() >= classes:
        raise UsageError(f"data.classes: {where} has labels {labels.min()} to {labels.max()}, got {classes} classes")
