"""A data set as it lives on a device: bytes and labels, and what normalises them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gradbench.data.arrays import Arrays, Pixels, channel_statistics

__all__ = ["Dataset"]


@dataclass(frozen=True)
class Dataset:
    """Images and labels on one device.

    Attributes:
        name: the name in the case file.
        x_train: (N, 3, H, W) uint8.
        y_train: (N,) int64, in 0..classes-1.
        x_test: (M, 3, H, W) uint8.
        y_test: (M,) int64.
        mean: (3,) float32, over the training images with pixels scaled to 0..1.
        std: (3,) float32, the same.
        classes: how many labels there are.
    """

    name: str
    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    mean: Tensor
    std: Tensor
    classes: int

    @classmethod
    def from_arrays(cls, name: str, arrays: Arrays, classes: int, device: torch.device) -> Dataset:
        """Copy `arrays` to `device`; a single channel becomes three equal ones."""
        mean, std = channel_statistics(arrays.x_train)
        return cls(
            name=name,
            x_train=_images(arrays.x_train, device),
            y_train=torch.from_numpy(arrays.y_train.astype(np.int64)).to(device),
            x_test=_images(arrays.x_test, device),
            y_test=torch.from_numpy(arrays.y_test.astype(np.int64)).to(device),
            mean=torch.tensor(mean, device=device).expand(3).contiguous(),
            std=torch.tensor(std, device=device).expand(3).contiguous(),
            classes=classes,
        )


def _images(images: Pixels, device: torch.device) -> Tensor:
    """Return (N, H, W, C) as contiguous (N, 3, H, W) on `device`."""
    moved = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    return moved.permute(0, 3, 1, 2).expand(-1, 3, -1, -1).contiguous()
