"""What a plan is made for: a network that can be built at any depth, and minibatches of any size for it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradbench.auditing.command import builder, built_by
from gradbench.case.load import settings_of
from gradbench.case.schema import Train
from gradbench.errors import UsageError, did_you_mean
from gradbench.measure.batch import Loss
from gradbench.measure.precision import PRECISIONS, Precision
from gradbench.models import MODELS
from gradbench.models.build import build
from gradbench.models.stages import check_image_size

__all__ = ["ALIASES", "Subject", "subject_of"]

#: Other names of networks of the table.
ALIASES = {"resnet18": "resnet"}


@dataclass(frozen=True)
class Subject:
    """A network, its images and its training.

    Attributes:
        name: as it was asked for.
        make: from a depth to the network and its loss, on torch's default device and in its default dtype.
        depth: its own; None where it has none to choose.
        period: blocks after which the growth of the network repeats itself, one more in each of its stages.
        image: height and width of an image in pixels.
        train: optimiser and arithmetic.
    """

    name: str
    make: Callable[[int | None], tuple[nn.Module, Loss]]
    depth: int | None
    period: int
    image: tuple[int, int]
    train: Train

    @property
    def precision(self) -> Precision:
        """The arithmetic."""
        return PRECISIONS[self.train.precision]

    @property
    def pixels(self) -> int:
        """Pixels of an image."""
        return self.image[0] * self.image[1]

    def on(self, device: torch.device, depth: int | None) -> tuple[nn.Module, Loss]:
        """Return the network in training mode and its loss, made on `device` in the dtype of its arithmetic."""
        before = torch.get_default_dtype()
        torch.set_default_dtype(self.precision.dtype)
        try:
            with device:
                model, loss = self.make(depth)
        finally:
            torch.set_default_dtype(before)
        return model.train(), loss

    def batch(self, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return `count` images (count, 3, H, W), uniform noise, and their classes, all 0."""
        x = torch.rand(count, 3, *self.image, device=device, dtype=self.precision.dtype)
        return x, torch.zeros(count, dtype=torch.long, device=device)


def subject_of(model: str, image: tuple[int, int] | None, sets: Sequence[str]) -> Subject:
    """Return what `model` names: a network of the table with `sets` (`model.width=64`), or "package.module:function".

    A function returns a model, or a model and a loss (else the mean cross-entropy). If it has a parameter `depth`, the
    plan varies it.

    Raises:
        UsageError: an unknown name, a wrong setting, or an image that the network cannot halve.
    """
    if ":" in model:
        settings = settings_of(sets)
        if wrong := [one for one in sets if not one.startswith("train.")]:
            raise UsageError(f"--set {wrong[0]}: a function's model has settings train.* alone")
        size = (settings.data.image_size,) * 2
        make, depth = _of_function(model)
        return Subject(model, make, depth, 1, image or size, settings.train)
    name = ALIASES.get(model, model)
    if name not in MODELS:
        known = [*MODELS, *ALIASES]
        allowed = f"allowed are {', '.join(known)} and package.module:function"
        raise UsageError(f"unknown model {model!r}: {allowed}{did_you_mean(model, known)}")
    settings = settings_of([f"model.name={name}", *sets])
    image = image or (settings.data.image_size,) * 2
    for side in image:
        check_image_size(side, settings.model.pooling)

    def make_of_settings(depth: int | None) -> tuple[nn.Module, Loss]:
        chosen = settings.model.model_copy(update={"depth": depth})
        return build(chosen, settings.data.classes, image[0]), F.cross_entropy

    period = len(settings.model.pooling) + 1
    return Subject(model, make_of_settings, settings.model.depth, period, image, settings.train)


def _of_function(target: str) -> tuple[Callable[[int | None], tuple[nn.Module, Loss]], int | None]:
    function = builder(target)
    parameter = inspect.signature(function).parameters.get("depth")
    depth = parameter.default if parameter is not None and isinstance(parameter.default, int) else None

    def make(chosen: int | None) -> tuple[nn.Module, Loss]:
        return built_by(function, target, **({} if chosen is None else {"depth": chosen}))

    return make, depth
