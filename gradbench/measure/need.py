"""What one training step takes: what stays from step to step, the images, and the peak of the two passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gradbench.case.schema import Train
from gradbench.measure.batch import Loss
from gradbench.measure.fake import without_memory
from gradbench.measure.memory import step_memory
from gradbench.measure.precision import PRECISIONS, Precision
from gradbench.measure.step import forward_passes
from gradbench.measure.training import make_optimizer
from gradbench.measure.trial import why_excluded
from gradbench.strategies.base import Strategy

__all__ = ["Needs", "Resident", "Subject"]

Bytes = NDArray[np.int64]


#: Images of a pass that asks what a model is: a batch norm needs two where an image has one position left.
_FEW = 2
#: The largest minibatch that is asked for.
_MOST = 2**20


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


@dataclass(frozen=True)
class Resident:
    """Bytes that are there between two steps, and the gradients, which the peak of a step has among it.

    Attributes:
        weights: parameters and buffers.
        state: the optimiser's.
        gradients: of the parameters.
    """

    weights: int
    state: int
    gradients: int


class Needs:
    """Tells the bytes of a subject's training step for any batch and depth, without taking them.

    Tensors without values stand for the real ones: on the GPU's side where there is one, else on the CPU's.
    """

    def __init__(self, subject: Subject, device: torch.device) -> None:
        self.subject, self.device = subject, device
        self.resident = cache(self._resident)
        self.of = cache(self._of)
        self.alive = cache(self._alive)

    def excluded(self, strategy: Strategy) -> str | None:
        """Return why nothing can be told of a strategy, in one sentence, or None."""
        if strategy.compiles:
            return "what torch.compile makes of a model takes memory that only running it can tell"
        if reason := self.subject.precision.unavailable(self.device):
            return reason
        with self._model(self.subject.depth) as (model, _):
            return why_excluded(model, strategy, self.subject.batch(_FEW, self.device))

    def by_depth(self, strategy: Strategy, count: int, asked: int) -> Callable[[int], float]:
        """Return the bytes of a step on `count` images as a function of the depth.

        Beyond the depth `asked`, more than a period, it is told from there and a period before: each step is cut into
        equal parts, one for each stage in either pass, and the largest of each part grows linearly. So a stage is seen
        that takes less than another where the network is shallow, and more where it is deep.
        """
        period = self.subject.period

        def need(depth: int) -> float:
            if depth <= asked:
                return self.of(strategy, count, depth)
            at, before = (_parts(self.alive(strategy, count, of), 2 * period) for of in (asked, asked - period))
            return float((at + (at - before) * (depth - asked) / period).max())

        return need

    def by_images(self, strategy: Strategy, room: float, count: int, depth: int | None) -> Callable[[int], float]:
        """Return the bytes of a step as a function of the number of images, told from two steps.

        What is alive after an operation grows linearly with the images, and a step's need is the largest of these
        lines. Where the two steps are not the same operations, each number is asked for itself.

        Args:
            strategy: how activations are had.
            room: bytes; the function is surest near what fits, where a strategy rounds sizes up.
            count: images of one of the steps.
            depth: of the network.
        """
        one = self.alive(strategy, count, depth)
        likely = min(max(int(count * room / one.max()), _FEW), _MOST)
        far = likely if likely != count else 2 * count
        other = self.alive(strategy, far, depth)
        if len(one) != len(other):  # some operations run once in a process
            one = self._alive(strategy, count, depth)
        if len(one) != len(other):
            return lambda images: self.of(strategy, images, depth)
        slopes = (other - one) / (far - count)
        return lambda images: float(np.rint(one + slopes * (images - count)).max())

    def _of(self, strategy: Strategy, count: int, depth: int | None) -> int:
        """Return the bytes of a step on `count` images: the peak, with all that is resident."""
        return int(self.alive(strategy, count, depth).max())

    def _alive(self, strategy: Strategy, count: int, depth: int | None) -> Bytes:
        """Return the bytes that are alive after each operation of a step, with all that is resident."""
        with self._model(depth) as (model, loss):
            x, y = self.subject.batch(count, self.device)
            with strategy.applied_to(model):
                memory = step_memory(model, [x, y], *forward_passes(model, strategy, (x, y), loss))
            images = x.nbytes + y.nbytes
        resident = self.resident(depth)
        return resident.weights + resident.state + images + np.array(memory.moments)

    def _resident(self, depth: int | None) -> Resident:
        with self._model(depth) as (model, _):
            parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
            weights = _bytes([*model.parameters(), *model.buffers()])
            optimizer = make_optimizer(model, self.subject.train)
            for parameter in parameters:
                parameter.grad = torch.empty_like(parameter)
            optimizer.step()
            state = _bytes([v for held in optimizer.state.values() for v in held.values() if isinstance(v, Tensor)])
            return Resident(weights, state, _bytes(parameters))

    @contextmanager
    def _model(self, depth: int | None) -> Iterator[tuple[nn.Module, Loss]]:
        with without_memory():
            yield self.subject.on(self.device, depth)


def _parts(alive: Bytes, count: int) -> Bytes:
    """Return the largest of each of `count` equal parts."""
    return np.array([part.max() for part in np.array_split(alive, count)])


def _bytes(tensors: list[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)
