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

DATASETS = Registry(
    "data set",
    "gradbench.data",
    {
        "digits": Entry("gradbench.data.digits:load", "1,797 real handwritten digits, shipped with the package"),
        "cifar10": Entry("gradbench.data.cifar10:load", "CIFAR-10 through torchvision, downloaded once"),
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
