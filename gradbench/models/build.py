"""From a case's settings to a network, by its name in the registry."""

from __future__ import annotations

from torch import nn

from gradbench.case.schema import Model
from gradbench.models import MODELS

__all__ = ["build"]


def build(settings: Model, classes: int, image_size: int) -> nn.Module:
    """Return the network that `settings` names, freshly initialised from torch's global random generator.

    Raises:
        UsageError: the settings do not fit the images.
    """
    network: nn.Module = MODELS[settings.name].load().from_settings(settings, classes, image_size)
    return network
