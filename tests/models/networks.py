"""Small networks, whose norms are not at their initialisation, and a loss for them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradbench.case.schema import Model
from gradbench.invertible import InvertibleBatchNorm
from gradbench.models.build import build

__all__ = ["images", "loss", "network", "with_dropout"]


def network(image_size: int = 8, classes: int = 5, **settings: object) -> nn.Module:
    """Return a network 8 channels wide unless `settings` say otherwise."""
    model = build(Model(**({"width": 8} | settings)), classes, image_size)  # type: ignore[arg-type]
    for module in model.modules():
        if isinstance(module, InvertibleBatchNorm):
            nn.init.normal_(module.weight, 1, 0.2)
            module.weight.data *= torch.where(torch.rand_like(module.weight) < 0.3, -1, 1)
            nn.init.normal_(module.bias, 0, 0.2)
    return model


def images(count: int = 6, size: int = 8, dtype: torch.dtype = torch.float64) -> tuple[Tensor]:
    """Return a random batch (count, 3, size, size)."""
    return (torch.randn(count, 3, size, size, dtype=dtype),)


def loss(scores: Tensor) -> Tensor:
    """Return the cross-entropy with the classes 0, 1, ... in turn."""
    return F.cross_entropy(scores, torch.arange(len(scores), device=scores.device) % scores.shape[1])


def with_dropout(model: nn.Module, share: float = 0.3) -> nn.Module:
    """Put dropout behind every convolution of `model`."""
    for name, child in list(model.named_children()):
        if isinstance(child, nn.Conv2d):
            setattr(model, name, nn.Sequential(child, nn.Dropout(share)))
        else:
            with_dropout(child, share)
    return model
