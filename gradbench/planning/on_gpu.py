"""Whether it fits, by doing it: real steps on a GPU of which this process may take no more than the plan's memory."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from gradbench.errors import UsageError
from gradbench.measure.cost import measure_cost
from gradbench.measure.limit import limited
from gradbench.measure.need import Subject
from gradbench.measure.out_of_memory import is_out_of_memory
from gradbench.measure.precision import use_precision
from gradbench.measure.search import nearly_largest
from gradbench.measure.training import two_steps
from gradbench.strategies.base import Strategy

__all__ = ["OnGPU"]

_TIMED_STEPS = 5


class OnGPU:
    """Makes real training steps on a GPU within a memory.

    The limit is on what torch's allocator holds, its fragments among it, and not on the driver's own share. The process
    is set up for the training's arithmetic and convolutions, which decide what these take beside their tensors.

    Raises:
        UsageError: the GPU has less memory than that.
    """

    def __init__(self, subject: Subject, memory: int, device: torch.device) -> None:
        total = torch.cuda.get_device_properties(device).total_memory
        if memory > total:
            raise UsageError(
                f"--memory: the GPU has {total / 2**30:.1f} GiB, which is less; --device cpu predicts alone"
            )
        self.subject, self.device, self.memory = subject, device, memory
        use_precision(subject.precision, subject.train.cudnn_benchmark)

    def free_bytes(self) -> int:
        """Return the bytes of the GPU that nobody has."""
        return int(torch.cuda.mem_get_info(self.device)[0])

    def largest_batch(self, strategy: Strategy, predicted: int, least: int) -> int | None:
        """Return a batch of at least `least` that fits, of which one a 64th larger does not; None for none."""
        with _settled():
            return nearly_largest(lambda count: self._fits(strategy, count, self.subject.depth), predicted, least)

    def largest_depth(self, strategy: Strategy, predicted: int, batch: int) -> int | None:
        """Return a depth that fits, of which one a 64th larger does not; None for none."""
        with _settled():
            return nearly_largest(lambda depth: self._fits(strategy, batch, depth), predicted, 1)

    def time_ratios(self, strategies: Sequence[Strategy], count: int, reference: str) -> dict[str, float]:
        """Return the time of a step on `count` images over that of the reference, if it is among the strategies."""
        if reference not in [strategy.name for strategy in strategies]:
            return {}
        model, loss = self.subject.on(self.device, self.subject.depth)
        costs = measure_cost(model, strategies, self.subject.batch(count, self.device), _TIMED_STEPS, loss=loss)
        return {name: cost.step_seconds / costs[reference].step_seconds for name, cost in costs.items()}

    def _fits(self, strategy: Strategy, count: int, depth: int | None) -> bool:
        try:
            with limited(self.device, self.memory):
                model, loss = self.subject.on(self.device, depth)
                two_steps(model, strategy, self.subject.batch(count, self.device), self.subject.train, loss)
        except RuntimeError as error:
            if is_out_of_memory(error):
                return False
            raise
        return True


@contextmanager
def _settled() -> Iterator[None]:
    """Let garbage be looked for among what is new alone: each try of what fits looks for it, and torch is large."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
