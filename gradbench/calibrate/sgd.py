"""The noise of SGD on models whose gradient covariance is known: every image, every augmentation, one by one.

For minibatches of B images drawn without replacement, image i with gradient m_i in the mean over its augmentations and
v_i the variance around it, sample variances of the minibatches' gradients have the mean
(1/(N-1) sum_i |m_i - mean m|^2 + 1/N sum_i v_i) / B, exactly, whatever their number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from gradbench.calibrate.count import Count, Estimate, count, estimate
from gradbench.case.schema import Data
from gradbench.data.batches import Batches
from gradbench.data.dataset import Dataset
from gradbench.measure.batch import Loss
from gradbench.measure.gradients import measure_gradients
from gradbench.strategies.stored import Stored

__all__ = ["calibrate_sgd"]

GROUP = "noise of SGD"
IMAGES, SIZE, CLASSES, BATCH = 96, 4, 3, 8
#: All images but a few, and fewer than half of them.
MINIBATCHES = (5, 12)
PIXELS = 3 * SIZE * SIZE

Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Task:
    """A linear model without bias, and its loss."""

    what: str
    outputs: int
    loss: Loss


def _squared(output: Tensor, labels: Tensor) -> Tensor:
    return (output[:, 0] - labels).square().mean()


_TASKS = (
    _Task("linear regression", 1, _squared),
    _Task("logistic regression", CLASSES, F.cross_entropy),
)


def calibrate_sgd(repetitions: int, seed: int) -> Iterator[Count]:
    """Yield a count for each model, with and without augmentation, and each number of minibatches M."""
    generator = torch.Generator().manual_seed(seed)
    dataset = _dataset(generator)
    for task in _TASKS:
        model = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, task.outputs, bias=False))
        with torch.no_grad():
            model[1].weight.copy_(0.1 * torch.randn(model[1].weight.shape, generator=generator))
        for crop, flip in ((0, False), (1, True)):
            settings = Data(batch_size=BATCH, crop=crop, flip=flip, image_size=SIZE, classes=CLASSES)
            planted = _variance(task, model[1].weight.detach().double().numpy(), dataset, crop, flip)
            for minibatches in MINIBATCHES:
                estimates = [
                    _measured(task, model, Batches(dataset, settings, seed + repetition), minibatches)
                    for repetition in range(repetitions)
                ]
                augmented = "augmented" if flip else "not augmented"
                what = f"sgd_variance: {task.what}, {augmented}, {minibatches * BATCH} of {IMAGES} images"
                yield count(GROUP, what, planted, estimates, unbiased=True)


def _dataset(generator: torch.Generator) -> Dataset:
    pixels = torch.randint(0, 256, (IMAGES, 3, SIZE, SIZE), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, CLASSES, (IMAGES,), generator=generator)
    mean, std = torch.full((3,), 0.5), torch.full((3,), 0.25)
    return Dataset("calibration", pixels, labels, pixels[:1], labels[:1], mean, std, CLASSES)


def _measured(task: _Task, model: nn.Module, batches: Batches, minibatches: int) -> Estimate:
    found = measure_gradients(model, Stored(), [Stored()], batches.fresh(minibatches), 0, loss=task.loss)
    return estimate(found["stored"].gradients[0], "sgd_variance")


def _variance(task: _Task, weight: Array, dataset: Dataset, crop: int, flip: bool) -> float:
    """Return the mean of s2 by the formula above, over all images and all their augmentations."""
    pixels = (dataset.x_train.numpy() / 255 - 0.5) / 0.25
    padded = np.pad(pixels, ((0, 0), (0, 0), (crop, crop), (crop, crop)), mode="reflect")
    shifts = range(2 * crop + 1)
    crops = [padded[:, :, down : down + SIZE, right : right + SIZE] for down in shifts for right in shifts]
    variants = [variant for one in crops for variant in ((one, one[..., ::-1]) if flip else (one,))]
    gradients = np.stack([_gradients(task, weight, x.reshape(IMAGES, -1), dataset.y_train.numpy()) for x in variants])
    means = gradients.mean(0)
    between = ((means - means.mean(0)) ** 2).sum() / (IMAGES - 1)
    within = ((gradients - means) ** 2).sum(axis=(1, 2)).mean() / IMAGES
    return float((between + within) / BATCH)


def _gradients(task: _Task, weight: Array, x: Array, y: NDArray[np.int64]) -> Array:
    """Return the gradient of each image's loss, (N, weights), in closed form."""
    output = x @ weight.T
    if task.outputs == 1:
        residual = 2 * (output - y[:, None])
    else:
        exponentials = np.exp(output - output.max(1, keepdims=True))
        residual = exponentials / exponentials.sum(1, keepdims=True) - np.eye(CLASSES)[y]
    gradients: Array = (residual[:, :, None] * x[:, None, :]).reshape(len(x), -1)
    return gradients
