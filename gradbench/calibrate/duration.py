"""Time of a step against a delay of known length that is added to it.

On a CPU the delay is a loop that ends by a clock which nothing adjusts. On a GPU it is a kernel that counts clock
cycles, between two events that the device itself times. Both say how long they took, since others may have interrupted
them, and a GPU changes the rate of its clock.
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
#: Added to a step of well under a millisecond.
SECONDS = (0.002, 0.006)
STEPS = 9
#: One estimate is the mean of so many differences of median times, with Student's interval.
MEASUREMENTS = 4
#: What a delay may cost beside its length: the call that begins it, and on a GPU the wait for its end.
BEGINNING = {"cpu": 20e-6, "cuda": 50e-6}
#: Of a GPU's clock, about 5 ms.
CYCLES = 10_000_000
#: More estimates than this say nothing new, and each takes half a second.
MOST = 40


def calibrate_duration(repetitions: int, device: str = "cpu") -> Iterator[Count]:
    """Yield a count of how much step_seconds is longer than that of a step that does not wait, over the delay.

    Args:
        repetitions: how many estimates, at most 40.
        device: "cpu" or "cuda".
    """
    delay = _spin if device == "cpu" else _kernel()
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 8)).to(device)
    batch = torch.randn(8, 3, 4, 4, device=device), torch.zeros(8, dtype=torch.long, device=device)
    for seconds in SECONDS:
        delayed, undelayed = _Delayed("delayed", delay, seconds), _Delayed("undelayed", delay, 0)
        estimates = []
        for _ in range(min(repetitions, MOST)):
            shares = []
            for _ in range(MEASUREMENTS):
                costs = measure_cost(model, [undelayed, delayed], batch, STEPS)
                added = costs["delayed"].step_seconds - costs["undelayed"].step_seconds
                shares.append(added / statistics.median(delayed.took[-STEPS:]))
            estimates.append(_estimate(shares, BEGINNING[device] / seconds))
        what = f"step_seconds over {1000 * seconds:g} ms that were added, on a {'CPU' if device == 'cpu' else 'GPU'}"
        yield count(GROUP, what, 1.0, estimates)


def _estimate(shares: list[float], beginning: float) -> Estimate:
    mean, deviation = statistics.mean(shares), statistics.stdev(shares)
    reach = float(stdtrit(len(shares) - 1, 0.975)) * deviation / math.sqrt(len(shares))
    return Estimate(mean, mean - reach - beginning, mean + reach)


def _spin(seconds: float) -> float:
    """Do nothing for so long, by a clock that is not the one of the measurement; return how long it was."""
    start = now = time.clock_gettime(time.CLOCK_MONOTONIC_RAW)
    while now < start + seconds:
        now = time.clock_gettime(time.CLOCK_MONOTONIC_RAW)
    return now - start


def _kernel() -> Callable[[float], float]:
    """Return what lets a GPU count about so many seconds of its cycles, and says how long it was by the GPU's clock."""

    def count_cycles(cycles: int) -> float:
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        torch.cuda._sleep(cycles)
        end.record()
        # Without this the host would prepare the rest of the step meanwhile, which a step without a delay waits for.
        end.synchronize()
        return float(start.elapsed_time(end)) / 1000

    rate = CYCLES / statistics.median(count_cycles(CYCLES) for _ in range(9))
    return lambda seconds: count_cycles(round(seconds * rate))


class _Delayed(Strategy):
    """Stored training that waits before its forward pass."""

    def __init__(self, name: str, delay: Callable[[float], float], seconds: float) -> None:
        self._name, self.delay, self.seconds = name, delay, seconds
        self.took: list[float] = []

    @property
    def name(self) -> str:
        return self._name

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        def wait(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            self.took.append(self.delay(self.seconds))

        hook = model.register_forward_pre_hook(wait)
        try:
            yield
        finally:
            hook.remove()
