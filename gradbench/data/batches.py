"""Minibatches that a seed and a step decide, whatever the device: the same images for every strategy."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor

from gradbench.case.schema import Data
from gradbench.data.dataset import Dataset
from gradbench.errors import UsageError

__all__ = ["Batches"]

Minibatch = tuple[Tensor, Tensor]


class Batches:
    """The minibatches of one data set under one seed.

    Every random number is drawn on the CPU; the device only gathers pixels and normalises them, in operations that
    round alike everywhere. A minibatch is x (N, 3, H, W), normalised in float32 and then in `dtype`, and y (N,) int64.
    """

    def __init__(self, dataset: Dataset, settings: Data, seed: int, dtype: torch.dtype = torch.float32) -> None:
        """Prepare minibatches of `settings.batch_size`.

        Raises:
            UsageError: the data set has fewer images than a minibatch, or crop or cutout do not fit its images.
        """
        images, size = len(dataset.x_train), min(dataset.x_train.shape[-2:])
        if settings.batch_size > images:
            raise UsageError(f"data.batch_size: {dataset.name} has {images} training images, got {settings.batch_size}")
        if settings.crop >= size:
            raise UsageError(f"data.crop: must be below the image size {size}, got {settings.crop}")
        if settings.cutout > size:
            raise UsageError(f"data.cutout: must be at most the image size {size}, got {settings.cutout}")
        self.size = settings.batch_size
        self.per_epoch = images // settings.batch_size
        self._data = dataset
        self._settings = settings
        self._seed = seed
        self._dtype = dtype
        self._shuffled: tuple[int, Tensor] = (-1, torch.empty(0))
        # (x / 255 - mean) / std as one subtraction and one product with tensors, which every device rounds alike;
        # a division by a number is a product with its inverse on some.
        mean, std = dataset.mean.cpu().double()[:, None, None], dataset.std.cpu().double()[:, None, None]
        self._offset = (255 * mean).float().to(dataset.x_train.device)
        self._factor = (1 / (255 * std)).float().to(dataset.x_train.device)

    def batch(self, step: int) -> Minibatch:
        """Return the training minibatch of `step`, augmented; an epoch drops its incomplete last minibatch."""
        epoch, position = divmod(step, self.per_epoch)
        if self._shuffled[0] != epoch:
            self._shuffled = epoch, self._permutation("epoch", epoch)
        return self._take(self._shuffled[1], position, "augment", step)

    def fresh(self, count: int) -> list[Minibatch]:
        """Return `count` minibatches without an image in common, augmented as in training: the sample of SGD's noise.

        Raises:
            UsageError: the data set has too few images.
        """
        if count > self.per_epoch:
            raise UsageError(
                f"measure.sgd_batches: {self._data.name} gives at most {self.per_epoch} minibatches of "
                f"{self._settings.batch_size} without an image in common, got {count}"
            )
        order = self._permutation("fresh", 0)
        return [self._take(order, position, "fresh-augment", position) for position in range(count)]

    def test(self, limit: int | None = None, batch_size: int | None = None) -> Iterator[Minibatch]:
        """Iterate over the first `limit` test images (all by default), not augmented; the last batch may be smaller."""
        x, y = self._data.x_test[:limit], self._data.y_test[:limit]
        size = batch_size or self._settings.batch_size
        for images, labels in zip(x.split(size), y.split(size), strict=True):
            yield self._normalise(images), labels

    def _take(self, order: Tensor, position: int, purpose: str, index: int) -> Minibatch:
        """Return the minibatch at `position` of `order`, augmented with the random numbers of (purpose, index)."""
        size, crop, device = self._settings.batch_size, self._settings.crop, self._data.x_train.device
        generator = self._generator(purpose, index)
        offsets = torch.randint(-crop, crop + 1, (2, size), generator=generator)
        flips = torch.randint(0, 2, (size,), generator=generator) * int(self._settings.flip)
        chosen = order[position * size : (position + 1) * size]
        image, down, right, flip = torch.stack([chosen, *offsets, flips]).to(device)  # one copy to the device
        height, width = self._data.x_train.shape[-2:]
        rows = _reflected(torch.arange(height, device=device) + down[:, None], height)
        columns = _reflected(torch.arange(width, device=device) + right[:, None], width)
        columns = torch.where(flip[:, None] == 1, columns.flip(1), columns)
        where = image[:, None, None, None], torch.arange(3, device=device)[:, None, None]
        pixels = self._data.x_train[*where, rows[:, None, :, None], columns[:, None, None]]
        x = self._normalise(pixels)
        if side := self._settings.cutout:
            top, left = torch.randint(0, height + 1 - side, (2, size), generator=generator).to(device)[:, :, None]
            rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
            hidden = ((rows >= top) & (rows < top + side))[:, None, :, None]
            # The mean colour is 0 after normalisation.
            x = x.masked_fill(hidden & ((columns >= left) & (columns < left + side))[:, None, None], 0)
        return x, self._data.y_train[image]

    def _normalise(self, pixels: Tensor) -> Tensor:
        return pixels.float().sub(self._offset).mul(self._factor).to(self._dtype)

    def _permutation(self, purpose: str, index: int) -> Tensor:
        return torch.randperm(len(self._data.x_train), generator=self._generator(purpose, index))

    def _generator(self, purpose: str, index: int) -> torch.Generator:
        """Return the CPU generator of (seed, purpose, index): streams that share no numbers."""
        digest = hashlib.sha256(f"{self._seed}/{purpose}/{index}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def _reflected(index: Tensor, size: int) -> Tensor:
    """Return `index` mirrored at both ends into 0..size-1, the edge pixel not repeated, as reflection padding does."""
    return size - 1 - (size - 1 - index.abs()).abs()
