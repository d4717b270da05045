"""What the command line names, as objects: a function that builds a model, and a data set or a function of batches."""

from __future__ import annotations

import importlib
import os
import sys
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from gradbench.auditing.given import check_model
from gradbench.case.schema import Data
from gradbench.data import DATASETS, prepare
from gradbench.data.batches import Batches
from gradbench.errors import EnvironmentError, GradbenchError, UsageError, did_you_mean
from gradbench.measure.batch import Batch, Loss
from gradbench.measure.trial import in_one_line

__all__ = ["Built", "build_model", "builder", "built_by", "load_batches"]


class Built(NamedTuple):
    """A model, and the loss that it is trained with."""

    model: nn.Module
    loss: Loss


def named(target: str, what: str) -> Any:
    """Return what "package.module:name" names; modules of the current directory are found.

    Raises:
        UsageError: it is spelled otherwise, or there is no such module or name.
    """
    module, colon, name = target.partition(":")
    if not (module and colon and name):
        raise UsageError(f"{what} {target!r}: it is spelled package.module:function")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        loaded = importlib.import_module(module)
    except ImportError as error:
        raise UsageError(f"{what} {target!r}: {module} cannot be imported ({error})") from error
    except SystemExit as error:
        raise UsageError(f"{what} {target!r}: {module} exits where it is imported") from error
    except Exception as error:  # whatever a file of a user does
        raise UsageError(f"{what} {target!r}: {module} raises {in_one_line(error)}") from error
    if not hasattr(loaded, name):
        raise UsageError(f"{what} {target!r}: {module} has no {name!r}{did_you_mean(name, vars(loaded))}")
    return getattr(loaded, name)


def build_model(target: str, device: str, seed: int) -> Built:
    """Call the function that `target` names: it returns a model, or a model and a loss (else the mean cross-entropy).

    Raises:
        UsageError: there is no such function, it raises, or it returns something else, or what cannot be audited.
        EnvironmentError: there is no such device.
    """
    function = builder(target)
    torch.manual_seed(seed)
    try:
        model, loss = built_by(function, target)
    except GradbenchError:
        raise
    except Exception as error:
        raise UsageError(f"model {target!r}: it raises {in_one_line(error)}") from error
    try:
        model = model.to(device)
    except (AssertionError, RuntimeError) as error:
        raise EnvironmentError(f"--device {device}: {str(error).splitlines()[0]}; --device cpu works") from error
    check_model(model)
    return Built(model, loss)


def builder(target: str) -> Callable[..., Any]:
    """Return the function that `target` names.

    Raises:
        UsageError: there is none.
    """
    function = named(target, "model")
    if not callable(function):
        raise UsageError(f"model {target!r}: {type(function).__name__} cannot be called")
    return function  # type: ignore[no-any-return]


def built_by(function: Callable[..., Any], target: str, **settings: Any) -> Built:
    """Return what a user's function makes of `settings`: a model, with its loss or the mean cross-entropy.

    Raises:
        UsageError: it returns something else.
    """
    made = function(**settings)
    model, loss = made if isinstance(made, tuple) and len(made) == 2 else (made, F.cross_entropy)
    if not isinstance(model, nn.Module) or not callable(loss):
        raise UsageError(f"model {target!r}: it must return a model, or a model and a loss, got {type(made).__name__}")
    return Built(model, loss)


def load_batches(
    data: str, *, batch_size: int, image_size: int | None, minibatches: int, device: str, seed: int
) -> Iterable[Batch]:
    """Return minibatches of a data set ("digits", "npz:FILE"), or what a function ("package.module:function") returns.

    Raises:
        UsageError: an unknown name, a file that does not fit, or too few images.
    """
    name, _, path = data.partition(":")
    if name not in DATASETS:
        if not path:
            raise UsageError(
                f"--data {data}: allowed are {', '.join(DATASETS)}, npz:FILE and package.module:function"
                f"{did_you_mean(name, DATASETS)}"
            )
        function = named(data, "--data")
        if not callable(function):
            raise UsageError(f"--data {data!r}: {type(function).__name__} cannot be called")
        try:
            batches: Iterable[Batch] = function()
        except Exception as error:  # whatever a user's function does
            raise UsageError(f"--data {data!r}: it raises {in_one_line(error)}") from error
        return batches
    sizes = {} if image_size is None else {"image_size": image_size}
    if name == "npz" and path:
        sizes = _sizes_of(Path(path).expanduser()) | sizes
    settings = Data.model_validate({"name": name, "path": path or None, "batch_size": batch_size, **sizes})
    prepare(settings)
    dataset = DATASETS[name].load()(settings, torch.device(device), seed)
    return list(Batches(dataset, settings, seed).fresh(minibatches))


def _sizes_of(path: Path) -> dict[str, int]:
    """Return the image size and the number of classes that the file itself has; its loader checks the rest."""
    try:
        with np.load(path, allow_pickle=False) as file:
            shape, labels = file["x_train"].shape, file["y_train"]
            channels_first = len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 3)
            return {"image_size": shape[2 if channels_first else 1], "classes": max(2, int(labels.max()) + 1)}
    except (OSError, ValueError, KeyError, IndexError, TypeError, zipfile.BadZipFile):
        return {}
