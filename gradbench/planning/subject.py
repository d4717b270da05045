"""What a plan is made for, by what the user calls it: a network of the table, or a function that makes one."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import partial

from torch import nn
from torch.nn import functional as F

from gradbench.auditing.command import builder, built_by
from gradbench.case.load import settings_of
from gradbench.case.schema import Settings
from gradbench.errors import UsageError, did_you_mean
from gradbench.measure.batch import Loss
from gradbench.measure.need import Subject
from gradbench.models import MODELS
from gradbench.models.build import build
from gradbench.models.stages import check_image_size

__all__ = ["ALIASES", "subject_of"]

#: Other names of networks of the table.
ALIASES = {"resnet18": "resnet"}


def subject_of(model: str, image: tuple[int, int] | None, sets: Sequence[str]) -> Subject:
    """Return what `model` names: a network of the table with `sets` (`model.width=64`), or "package.module:function".

    A function returns a model, or a model and a loss (else the mean cross-entropy). If it has a parameter `depth`, the
    plan varies it. What is returned can be pickled.

    Raises:
        UsageError: an unknown name, a wrong setting, or an image that the network cannot halve.
    """
    if ":" in model:
        settings = settings_of(sets)
        if wrong := [one for one in sets if not one.startswith("train.")]:
            raise UsageError(f"--set {wrong[0]}: a function's model has settings train.* alone")
        size = (settings.data.image_size,) * 2
        return Subject(model, partial(_of_function, model), _depth_of(model), 1, image or size, settings.train)
    name = ALIASES.get(model, model)
    if name not in MODELS:
        known = [*MODELS, *ALIASES]
        allowed = f"allowed are {', '.join(known)} and package.module:function"
        raise UsageError(f"unknown model {model!r}: {allowed}{did_you_mean(model, known)}")
    settings = settings_of([f"model.name={name}", *sets])
    image = image or (settings.data.image_size,) * 2
    for side in image:
        check_image_size(side, settings.model.pooling)

    period = len(settings.model.pooling) + 1
    make = partial(_of_settings, settings, image[0])
    return Subject(model, make, settings.model.depth, period, image, settings.train)


def _of_settings(settings: Settings, side: int, depth: int | None) -> tuple[nn.Module, Loss]:
    chosen = settings.model.model_copy(update={"depth": depth})
    return build(chosen, settings.data.classes, side), F.cross_entropy


def _depth_of(target: str) -> int | None:
    parameter = inspect.signature(builder(target)).parameters.get("depth")
    return parameter.default if parameter is not None and isinstance(parameter.default, int) else None


def _of_function(target: str, depth: int | None) -> tuple[nn.Module, Loss]:
    return built_by(builder(target), target, **({} if depth is None else {"depth": depth}))
