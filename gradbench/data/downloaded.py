"""Published data sets (`PUBLISHED`), each downloaded once by torchvision and kept as one checked file.

The file is `NAME.npz` in `data.path`, else in `$GRADBENCH_DATA`, else in `~/.cache/gradbench`. Where it is missing,
torchvision downloads the original, whose MD5 sums it checks, and it is converted; where it is there, made on another
machine for example, torchvision is not needed.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradbench.data.arrays import Arrays, Pixels, require
from gradbench.data.published import PUBLISHED, Published
from gradbench.errors import EnvironmentError

if TYPE_CHECKING:
    import torch

    from gradbench.case.schema import Data
    from gradbench.data.dataset import Dataset

__all__ = ["identity", "load", "location", "prepare"]


def load(settings: Data, device: torch.device, seed: int) -> Dataset:
    """Return the real images, downloaded first where they are missing; the seed decides nothing.

    Raises:
        UsageError: the settings name another image size or number of classes.
        EnvironmentError: the images are neither here nor to be had, or the file is not the real one.
    """
    from gradbench.data.dataset import Dataset

    prepare(settings)
    path = location(settings)
    try:
        with np.load(path) as file:
            arrays = Arrays(*(file[name] for name in Arrays._fields))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise EnvironmentError(f"{path}: damaged ({error}); delete it, and the next run downloads it again") from error
    if max(arrays.y_train.max(), arrays.y_test.max()) >= settings.classes:
        raise EnvironmentError(f"{path}: has labels beyond the {settings.classes} classes of {settings.name}")
    return Dataset.from_arrays(settings.name, arrays, settings.classes, device)


def identity(settings: Data) -> str:
    """Return what identifies the content, wherever the file lies: its digest, or the sums of the originals.

    Where only the originals' sums are published, a prepared file is taken for what it says it is.
    """
    return f"{settings.name} {PUBLISHED[settings.name].content}"


def prepare(settings: Data) -> None:
    """See to it that the file is there and is the real one; torchvision is imported only for a download.

    Raises:
        UsageError: the settings name another image size or number of classes.
        EnvironmentError: no torchvision, no network, no room, or the file is not the real one.
    """
    require(settings)
    path, published = location(settings), PUBLISHED[settings.name]
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{settings.name}-", dir=path.parent) as folder:
                _download(published, path, Path(folder))
        except OSError as error:
            raise EnvironmentError(f"{path}: cannot write {published.title} there ({error})") from error
    if not _is_real(path, published):
        raise EnvironmentError(
            f"{path}: not {published.title}, by shapes or checksums; delete it, and the next run downloads it again"
        )


def location(settings: Data) -> Path:
    """Return where the file is, or would be after a download."""
    folder = settings.path or os.environ.get("GRADBENCH_DATA") or "~/.cache/gradbench"
    return Path(folder).expanduser() / f"{settings.name}.npz"


def _is_real(path: Path, published: Published) -> bool:
    """Return whether the archive's directory states the shapes and, where they are known, the checksums."""
    images, tests = published.shape[0], published.tests
    shapes = {
        "x_train.npy": published.shape,
        "y_train.npy": (images,),
        "x_test.npy": (tests, *published.shape[1:]),
        "y_test.npy": (tests,),
    }
    try:
        with zipfile.ZipFile(path) as archive:
            checksums = {member.filename: member.CRC for member in archive.infolist()}
            if checksums.keys() != shapes.keys():
                return False
            found = {name: _header(archive, name) for name in shapes}
    except (OSError, ValueError, zipfile.BadZipFile):
        return False
    expected = {name: (shape, np.dtype(np.uint8)) for name, shape in shapes.items()}
    return found == expected and (published.checksums or checksums) == checksums


def _header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return the shape and the type that an array's first bytes state."""
    with archive.open(name) as stream:
        np.lib.format.read_magic(stream)
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    return shape, dtype


def _download(published: Published, path: Path, folder: Path) -> None:
    """Download and convert inside `folder`, then move the file to `path` in one step.

    Each process works in a folder of its own, so that two first uses at once cost a second download and nothing else.
    """
    read = _reader(published, path)
    print(f"{published.title} is not in {path.parent}: downloading {published.megabytes} MB", file=sys.stderr)
    progress = sys.stderr if sys.stderr.isatty() else io.StringIO()  # a bar is for a terminal, not for a log
    try:
        with redirect_stdout(progress), redirect_stderr(progress):
            train, test = (read(str(folder), download=True, **half) for half in (published.train, published.test))
    except (OSError, RuntimeError) as error:
        raise EnvironmentError(
            f"{published.title} cannot be downloaded ({error}); connect this machine to the network, or put "
            f"{path.name} into {path.parent}"
        ) from error
    np.savez(folder / path.name, **_converted(published, train, test)._asdict())
    os.replace(folder / path.name, path)


def _converted(published: Published, train: Any, test: Any) -> Arrays:
    """Return the arrays of both halves, as torchvision's readers have them, in the form of the file."""
    labels = [np.asarray(getattr(half, published.labels), np.uint8) for half in (train, test)]
    images = [_images(np.asarray(half.data), published) for half in (train, test)]
    return Arrays(images[0], labels[0], images[1], labels[1])


def _images(images: Pixels, published: Published) -> Pixels:
    """Return (N, H, W, C), (N, C, H, W) or (N, H, W) as (N, H, W, C), with the border."""
    channels, side = published.shape[-1], published.border
    if images.ndim == 3:
        images = images[..., None]
    elif images.shape[1] == channels:
        images = images.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(np.pad(images, ((0, 0), (side, side), (side, side), (0, 0))))


def _reader(published: Published, path: Path) -> Callable[..., Any]:
    """Return torchvision's class for the data set that is to become the file `path`.

    Raises:
        EnvironmentError: torchvision is missing, or cannot be imported beside the installed torch.
    """
    try:
        reader: Callable[..., Any] = getattr(importlib.import_module("torchvision.datasets"), published.reader)
    except (ImportError, RuntimeError, AttributeError, OSError) as error:
        raise EnvironmentError(
            f"{published.title} needs torchvision once, to download it, and torchvision cannot be imported ({error}): "
            "install the torchvision that belongs to the installed torch, for example with "
            f"`pip install -U torch torchvision`, or put {path.name} into {path.parent}"
        ) from error
    return reader
