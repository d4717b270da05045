"""The data sets that cases train on, one table of their names, and what can be asked of them without torch.

A data set is one module with `load(settings, device, seed) -> Dataset` and two functions that must not import torch
unless they download: `identity(settings) -> str`, what identifies its bytes to a store of results, and
`prepare(settings)`, which checks the settings and sees to it that `load` will find its files.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from gradbench.registry import Entry, Registry

if TYPE_CHECKING:
    from gradbench.case.schema import Data

__all__ = ["DATASETS", "identity", "prepare"]

_DOWNLOADED = "gradbench.data.downloaded:load"
_TEN = {"classes": 10, "image_size": 32}

DATASETS = Registry(
    "data set",
    "gradbench.data",
    {
        "digits": Entry(
            "gradbench.data.digits:load",
            "1,797 real handwritten digits, shipped with the package",
            "Alpaydin and Kaynak",
            defaults={"classes": 10},
        ),
        "cifar10": Entry(_DOWNLOADED, "CIFAR-10 through torchvision, downloaded once", "Krizhevsky", defaults=_TEN),
        "cifar100": Entry(
            _DOWNLOADED,
            "CIFAR-100 with its 100 fine labels, likewise",
            "Krizhevsky",
            defaults={"classes": 100, "image_size": 32},
        ),
        "svhn": Entry(
            _DOWNLOADED,
            "SVHN, cropped digits of house numbers, likewise; without its extra images",
            "Netzer et al.",
            defaults=_TEN,
        ),
        "fashion-mnist": Entry(
            _DOWNLOADED,
            "Fashion-MNIST, likewise; black borders of 2 pixels make its images 32x32",
            "Xiao et al.",
            defaults=_TEN,
        ),
        "npz": Entry("gradbench.data.npz:load", "a .npz file with x_train, y_train, x_test, y_test"),
        "synthetic": Entry("gradbench.data.synthetic:load", "random images with a learnable label, any size"),
    },
)


def identity(settings: Data) -> str:
    """Return what identifies the bytes of the data set, for the key of a stored result.

    Raises:
        UsageError: the settings do not fit the data set.
    """
    return str(_module(settings).identity(settings))


def prepare(settings: Data) -> None:
    """Check the settings and fetch what `load` needs; called once, before cells start in processes of their own.

    Raises:
        UsageError: the settings do not fit the data set.
        EnvironmentError: the data set cannot be had on this machine.
    """
    _module(settings).prepare(settings)


def _module(settings: Data) -> ModuleType:
    return importlib.import_module(DATASETS[settings.name].target.partition(":")[0])
