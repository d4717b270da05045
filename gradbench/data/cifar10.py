"""CIFAR-10: 50,000 training and 10,000 test photographs of 32x32 in ten classes, kept as one file.

A. Krizhevsky, Learning multiple layers of features from tiny images, 2009. The file is `cifar10.npz` in `data.path`,
else in `$GRADBENCH_DATA`, else in `~/.cache/gradbench`: x_train (50000, 32, 32, 3), y_train (50000,), x_test and
y_test, all uint8 and in the original order. Where it is missing, torchvision downloads the original once and it is
converted; where it is there, torchvision is not needed.
"""

from __future__ import annotations

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

from gradbench.data.arrays import Arrays, require
from gradbench.errors import EnvironmentError

if TYPE_CHECKING:
    import torch

    from gradbench.case.schema import Data
    from gradbench.data.dataset import Dataset

__all__ = ["identity", "load", "location", "prepare"]

#: SHA-256 over the bytes of x_train, y_train, x_test and y_test, one after the other.
DIGEST = "80387ddb9a0edf3fc4a964ee3770296169bb26a651050df20035579673099660"
#: CRC-32 of the four members of `cifar10.npz`. A zip file keeps them in its directory, so that comparing them costs
#: nothing, and whoever reads a member to its end compares its bytes with them: the content is checked in each process.
CHECKSUMS = {
    "x_train.npy": 0x51987C8E,
    "y_train.npy": 0x673A9935,
    "x_test.npy": 0x4788E40F,
    "y_test.npy": 0x9F55A981,
}


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
    return Dataset.from_arrays("cifar10", arrays, 10, device)


def identity(settings: Data) -> str:
    """Return the digest of the only content that `load` accepts, wherever the file lies."""
    return f"cifar10 {DIGEST}"


def prepare(settings: Data) -> None:
    """See to it that the file is there and is the real one; torchvision is imported only for a download.

    Raises:
        UsageError: the settings name another image size or number of classes.
        EnvironmentError: no torchvision, no network, no room, or the file is not the real one.
    """
    require(settings, classes=10, image_size=32)
    path = location(settings)
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".cifar10-", dir=path.parent) as folder:
                _download(path, Path(folder))
        except OSError as error:
            raise EnvironmentError(f"{path}: cannot write CIFAR-10 there ({error})") from error
    if _checksums(path) != CHECKSUMS:
        raise EnvironmentError(f"{path}: not the real CIFAR-10; delete it, and the next run downloads it again")


def location(settings: Data) -> Path:
    """Return where the file is, or would be after a download."""
    folder = settings.path or os.environ.get("GRADBENCH_DATA") or "~/.cache/gradbench"
    return Path(folder).expanduser() / "cifar10.npz"


def _checksums(path: Path) -> dict[str, int]:
    """Return the CRC-32 of each member as the archive's directory states it; empty when it is no archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {member.filename: member.CRC for member in archive.infolist()}
    except (OSError, zipfile.BadZipFile):
        return {}


def _download(path: Path, folder: Path) -> None:
    """Download and convert inside `folder`, then move the file to `path` in one step.

    Each process works in a folder of its own, so that two first uses at once cost a second download and nothing else.
    """
    read = _reader()
    print(f"CIFAR-10 is not in {path.parent}: downloading 170 MB", file=sys.stderr)
    progress = sys.stderr if sys.stderr.isatty() else io.StringIO()  # a bar is for a terminal, not for a log
    try:
        with redirect_stdout(progress), redirect_stderr(progress):
            train, test = (read(str(folder), train=train, download=True) for train in (True, False))
    except (OSError, RuntimeError) as error:
        raise EnvironmentError(
            f"CIFAR-10 cannot be downloaded ({error}); connect this machine to the network, or put cifar10.npz into "
            f"{path.parent}"
        ) from error
    labels = [np.asarray(part.targets, np.uint8) for part in (train, test)]
    np.savez(folder / path.name, x_train=train.data, y_train=labels[0], x_test=test.data, y_test=labels[1])
    os.replace(folder / path.name, path)


def _reader() -> Callable[..., Any]:
    """Return torchvision's CIFAR10.

    Raises:
        EnvironmentError: torchvision is missing, or cannot be imported beside the installed torch.
    """
    try:
        from torchvision.datasets import CIFAR10
    except (ImportError, RuntimeError, AttributeError, OSError) as error:
        raise EnvironmentError(
            f"CIFAR-10 needs torchvision once, to download it, and torchvision cannot be imported ({error}): install "
            "the torchvision that belongs to the installed torch, for example with `pip install -U torch torchvision`"
        ) from error
    reader: Callable[..., Any] = CIFAR10
    return reader
