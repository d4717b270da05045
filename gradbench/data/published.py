"""The published data sets that torchvision downloads: what they are, how it is asked for them, and what they must hold.

Each becomes one file, `NAME.npz`: x_train (N, 32, 32, C), y_train (N,), x_test and y_test, all uint8, in the published
order, with as many channels as published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["PUBLISHED", "Published"]


@dataclass(frozen=True)
class Published:
    """One data set.

    Attributes:
        title: what its authors call it.
        reader: its class in `torchvision.datasets`, which checks the published MD5 sums of what it downloads.
        train: how the reader is asked for the training images.
        test: how it is asked for the test images.
        labels: the reader's attribute that has the labels.
        megabytes: how large the download is.
        shape: of x_train.
        tests: how many test images there are.
        border: black pixels that are added on each side of an image, to make it 32x32.
        content: what identifies the file's arrays: a SHA-256 over their bytes, one after the other; or, where nobody
            has computed it yet, the MD5 sums of the archives that they come from.
        checksums: CRC-32 of the file's four members, if known. A zip file keeps them in its directory, so that
            comparing them costs nothing, and whoever reads a member to its end compares its bytes with them: the
            content is checked in each process.
    """

    title: str
    reader: str
    megabytes: int
    shape: tuple[int, int, int, int]
    tests: int
    content: str
    checksums: Mapping[str, int] = field(default_factory=dict, hash=False)
    train: Mapping[str, Any] = field(default_factory=lambda: {"train": True}, hash=False)
    test: Mapping[str, Any] = field(default_factory=lambda: {"train": False}, hash=False)
    labels: str = "targets"
    border: int = 0


PUBLISHED = {
    "cifar10": Published(
        title="CIFAR-10",
        reader="CIFAR10",
        megabytes=170,
        shape=(50_000, 32, 32, 3),
        tests=10_000,
        content="80387ddb9a0edf3fc4a964ee3770296169bb26a651050df20035579673099660",
        checksums={
            "x_train.npy": 0x51987C8E,
            "y_train.npy": 0x673A9935,
            "x_test.npy": 0x4788E40F,
            "y_test.npy": 0x9F55A981,
        },
    ),
    "cifar100": Published(
        title="CIFAR-100",
        reader="CIFAR100",
        megabytes=169,
        shape=(50_000, 32, 32, 3),
        tests=10_000,
        content="eb9058c3a382ffc7106e4002c42a8d85",
    ),
    "svhn": Published(
        title="SVHN",
        reader="SVHN",
        megabytes=246,
        shape=(73_257, 32, 32, 3),
        tests=26_032,
        content="e26dedcc434d2e4c54c9b2d4a06d8373 eb5a983be6a315427106f1b164d9cef3",
        train={"split": "train"},
        test={"split": "test"},
        labels="labels",
    ),
    "fashion-mnist": Published(
        title="Fashion-MNIST",
        reader="FashionMNIST",
        megabytes=31,
        shape=(60_000, 32, 32, 1),
        tests=10_000,
        content="d143c287eb8225ec433e8e422dc32a8a260b6df999c9792ab983adb595398139",
        checksums={
            "x_train.npy": 0x15F20CC7,
            "y_train.npy": 0x3C37B156,
            "x_test.npy": 0xCBAA8D13,
            "y_test.npy": 0x01A43677,
        },
        border=2,
    ),
}
