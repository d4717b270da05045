"""A network so small that a step on it is counted in milliseconds, and one that ends its process."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from gradbench.case.schema import Train
from gradbench.measure.need import Subject
from gradbench.planning.subject import subject_of

Made = tuple[nn.Module, Callable[..., Tensor]]


def small(depth: int = 2) -> nn.Module:
    """Return a network of `depth` convolutions and one more."""
    inner = [nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()) for _ in range(depth)]
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), *inner, nn.Flatten(), nn.Linear(8 * 8 * 8, 10))


def small_subject() -> Subject:
    """Return what a plan of it, on images of 8x8, is made for."""
    return subject_of("tests.planning.networks:small", (8, 8), [])


def depth_of(model: nn.Module) -> int:
    """Return the depth that the small network was made with."""
    return sum(isinstance(part, nn.Conv2d) for part in model.modules()) - 1


class Fatal(nn.Linear):
    """A layer that ends its process where it meets more than two images."""

    def forward(self, x: Tensor) -> Tensor:
        """Return what a linear layer does, if it returns."""
        if len(x) > 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(x.flatten(1))


def _fatal(depth: int | None) -> Made:
    return Fatal(3 * 8 * 8, 10), F.cross_entropy


def fatal_subject() -> Subject:
    """Return what a plan of a network that ends its process is made for."""
    return Subject("fatal", _fatal, None, 1, (8, 8), Train())
