"""Time of a step against a delay of known length that is added to it.

On a CPU the delay is a loop that ends by a clock which nothing adjusts. On a GPU it is a kernel that counts clock
cycles, between two events that the device itself times. Delays say how long they took, since others may interrupt them,
and a GPU changes the rate of its clock. The step that it is compared with has a delay too, a shorter one: after any,
threads and caches have to wake up, and a GPU's host prepares the rest of the step meanwhile.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from scipy.special import stdtrit
from torch import Tensor, nn

from gradbench.calibrate.count import Count, Estimate, count
from gradbench.measure.cost import measure_cost
from gradbench.strategies.base import Strategy

__all__ = ["calibrate_duration"]

GROUP = "time of a step"
#: Added to a step of well under a millisecond, and to the delay that both have.
SECONDS = (0.002, 0.006)
#: What both have: longer than a GPU's host takes for the calls of the step.
BOTH = 0.01
STEPS = 9
#: One estimate is the mean of so many differences of median times, with Student's interval.
MEASUREMENTS = 4
#: Of a GPU's clock, about 5 ms.
CYCLES = 10_000_000
#: More estimates than this say nothing new, and each takes a second or more.
MOST = 40

#: Begins to wait so many seconds, and returns what tells afterwards how long it was.
Delay = Callable[[float], Callable[[], float]]


def calibrate_duration(repetitions: int, device: str = "cpu") -> Iterator[Count]:
    """Yield a count of how much step_seconds is longer than that of a step with a shorter delay, over the difference.

    Args:
        repetitions: how many estimates, at most 40.
        device: "cpu" or "cuda".
    """
    delay = _spin if device == "cpu" else _kernel()
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 8)).to(device)
    batch = torch.randn(8, 3, 4, 4, device=device), torch.zeros(8, dtype=torch.long, device=device)
    for seconds in SECONDS:
        shorter = _Delayed("shorter", delay, BOTH)
        longer = _Delayed("longer", delay, BOTH + seconds)
        estimates = []
        for _ in range(min(repetitions, MOST)):
            shares = []
            for _ in range(MEASUREMENTS):
                costs = measure_cost(model, [shorter, longer], batch, STEPS)
                added = costs[longer.name].step_seconds - costs[shorter.name].step_seconds
                shares.append(added / (longer.took(STEPS) - shorter.took(STEPS)))
            estimates.append(_estimate(shares))
        what = f"step_seconds over {1000 * seconds:g} ms that were added, on a {'CPU' if device == 'cpu' else 'GPU'}"
        yield count(GROUP, what, 1.0, estimates)


def _estimate(shares: list[float]) -> Estimate:
    mean, deviation = statistics.mean(shares), statistics.stdev(shares)
    reach = float(stdtrit(len(shares) - 1, 0.975)) * deviation / math.sqrt(len(shares))
    return Estimate(mean, mean - reach, mean + reach)


def _spin(seconds: float) -> Callable[[], float]:
    """Do nothing for so long, by a clock that is not the one of the measurement."""
    start = now = time.clock_gettime(time.CLOCK_MONOTONIC_RAW)
    while now < start + seconds:
        now = time.clock_gettime(time.CLOCK_MONOTONIC_RAW)
    return lambda: now - start


def _kernel() -> Delay:
    """Return what lets a GPU count about so many seconds of its cycles."""

    def count_cycles(cycles: int) -> Callable[[], float]:
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        torch.cuda._sleep(cycles)
        end.record()

        def took() -> float:
            end.synchronize()
            return float(start.elapsed_time(end)) / 1000

        return took

    rate = CYCLES / statistics.median(count_cycles(CYCLES)() for _ in range(9))
    return lambda seconds: count_cycles(round(seconds * rate))


class _Delayed(Strategy):
    """Stored training that waits before its forward pass."""

    def __init__(self, name: str, delay: Delay, seconds: float) -> None:
        self._name, self._delay, self._seconds = name, delay, seconds
        self._took: list[Callable[[], float]] = []

    def took(self, steps: int) -> float:
        """Return the median delay of the last steps in seconds."""
        return statistics.median(took() for took in self._took[-steps:])

    @property
    def name(self) -> str:
        return self._name

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        def wait(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            self._took.append(self._delay(self._seconds))

        hook = model.register_forward_pre_hook(wait)
        try:
            yield
        finally:
            hook.remove()
