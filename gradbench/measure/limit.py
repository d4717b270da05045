"""A memory that training must fit into: what fits, and on a GPU a process that can have no more.

A CPU's memory cannot be limited so: there the count of a plan decides.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradbench.case.schema import Settings
from gradbench.case.sizes import written_size
from gradbench.data.batches import Minibatch
from gradbench.data.dataset import Dataset
from gradbench.errors import UsageError
from gradbench.measure.need import Needs, Subject
from gradbench.measure.out_of_memory import is_out_of_memory, out_of_memory_in_short
from gradbench.measure.search import largest
from gradbench.measure.training import two_steps
from gradbench.measure.trial import in_one_line
from gradbench.models.build import build
from gradbench.strategies.base import Strategy

__all__ = ["Fit", "Room", "limited"]


@contextmanager
def limited(device: torch.device, limit: int | None) -> Iterator[None]:
    """Let this process have no more of a GPU than `limit` bytes, or, with None, all of it; on a CPU do nothing.

    It is a limit on what torch's allocator holds, its fragments among it, and not on the driver's own share.

    Raises:
        UsageError: less of the GPU is left, since others have the rest; what does not fit then is nobody's fault.
    """
    if device.type != "cuda":
        yield
        return
    index = torch.cuda.current_device() if device.index is None else device.index
    before = torch.cuda.get_per_process_memory_fraction(index)
    total = torch.cuda.get_device_properties(index).total_memory
    _release()
    if limit is not None:
        left = torch.cuda.mem_get_info(index)[0] + torch.cuda.memory_reserved(index)
        if left < limit:
            raise UsageError(
                f"{written_size(left)} of the GPU are left, less than the {written_size(limit)} that training may "
                "take: others have the rest"
            )
    torch.cuda.set_per_process_memory_fraction(1.0 if limit is None else limit / total, index)
    try:
        yield
    finally:
        _release()
        torch.cuda.set_per_process_memory_fraction(before, index)


def _release() -> None:
    """Give back what the allocator still holds: it would be used again, beyond the limit."""
    gc.collect()
    torch.cuda.empty_cache()


@dataclass(frozen=True)
class Fit:
    """Whether a strategy's training fits.

    Attributes:
        planned_batch: the largest minibatch whose step fits, as a plan counts; 0 where two images do not fit, None
            where only running it can tell.
        over: why the cell's own minibatch does not fit, in one sentence; empty where it does.
        untold: why only running it can tell; empty where a plan does.
    """

    planned_batch: int | None
    over: str
    untold: str = ""


class Room:
    """What fits into a memory beside the data set, which lies on the same device.

    Args:
        settings: with `train.memory_limit`.
        dataset: on the device.
        device: where training runs.
    """

    def __init__(self, settings: Settings, dataset: Dataset, device: torch.device) -> None:
        limit = settings.train.memory_limit
        assert limit is not None
        self._limit, self._count, self._device = limit, settings.data.batch_size, device
        self._data = sum(tensor.nbytes for tensor in vars(dataset).values() if isinstance(tensor, Tensor))

        def make(depth: int | None) -> tuple[nn.Module, Callable[..., Tensor]]:
            return build(settings.model, dataset.classes, settings.data.image_size), F.cross_entropy

        size = (settings.data.image_size,) * 2
        self._needs = Needs(Subject(settings.model.name, make, None, 1, size, settings.train), device)

    def of(self, strategy: Strategy, model: Callable[[], nn.Module], batch: Minibatch) -> Fit:
        """Return what fits with a strategy that applies: counted, and on a GPU tried with two steps of training.

        Args:
            strategy: how activations are had.
            model: makes the network.
            batch: the cell's minibatch.

        Raises:
            UsageError: the GPU has less than the limit left, since others have the rest.
        """
        try:
            planned, untold = self._planned(strategy), ""
        except Exception as error:  # whatever code may do with tensors that have no values
            planned, untold = None, f"no plan counts what fits: {in_one_line(error)}"
        if self._device.type == "cuda":
            over = self._tried(strategy, model, batch)
            counted = f" (a plan counts room for a batch of {planned})" if over and planned else ""
            return Fit(planned, over + counted, untold)
        if planned is None or planned >= self._count:
            return Fit(planned, "", untold)
        need = written_size(self._needs.of(strategy, self._count, None) + self._data)
        return Fit(
            planned,
            f"a step on {self._count} images would take {need} with the data set, more than train.memory_limit, "
            f"{written_size(self._limit)}; {f'a batch of {planned}' if planned else 'no batch'} fits (counted, since a "
            "CPU's memory is not limited)",
        )

    def _planned(self, strategy: Strategy) -> int | None:
        if strategy.compiles:
            return None
        room = self._limit - self._data
        need = self._needs.by_images(strategy, room, self._count, None)
        return largest(need, room, 2, 2**20, second=self._count) or 0

    def _tried(self, strategy: Strategy, model: Callable[[], nn.Module], batch: Minibatch) -> str:
        try:
            with limited(self._device, self._limit):
                two_steps(model().train(), strategy, batch, self._needs.subject.train)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return f"two steps were tried within {written_size(self._limit)}: {out_of_memory_in_short(error)}"
        return ""
