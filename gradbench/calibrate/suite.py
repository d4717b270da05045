"""The whole calibration, one part after the other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from gradbench.calibrate.batch_size import calibrate_batch_size
from gradbench.calibrate.count import Count
from gradbench.calibrate.duration import calibrate_duration
from gradbench.calibrate.faults import Found, find_faults
from gradbench.calibrate.inverses import calibrate_inverses
from gradbench.calibrate.memory import calibrate_memory
from gradbench.calibrate.noise import calibrate_noise
from gradbench.calibrate.rounding import calibrate_rounding
from gradbench.calibrate.sgd import calibrate_sgd

__all__ = ["Calibration", "calibrate"]


@dataclass(frozen=True)
class Calibration:
    """What was found.

    Attributes:
        counts: every number that was planted and measured.
        faults: every planted fault.
    """

    counts: tuple[Count, ...]
    faults: tuple[Found, ...]

    @property
    def lines(self) -> int:
        """How many lines there are."""
        return len(self.counts) + len(self.faults)

    @property
    def right(self) -> int:
        """How many lines are ok."""
        return sum(one.ok for one in self.counts) + sum(one.ok for one in self.faults)

    @property
    def ok(self) -> bool:
        """Whether every line is."""
        return self.right == self.lines


def calibrate(repetitions: int, seed: int, say: Callable[[str], None] = lambda text: None) -> Calibration:
    """Plant errors of known size and measure them.

    Args:
        repetitions: how often each random error is planted, at least 2.
        seed: of every random number.
        say: is told what is being done.
    """
    parts: dict[str, Callable[[], Iterator[Count]]] = {}
    # Others' work lengthens a step by more than what is planted; a load average is of the minute before this call.
    if os.getloadavg()[0] < (os.cpu_count() or 1) / 2:
        parts["time on the CPU"] = lambda: calibrate_duration(repetitions)
    else:
        say("time on the CPU is left out: this machine is busy")
    parts |= {
        "gradient errors of known size": lambda: calibrate_noise(repetitions, seed),
        "the noise of SGD, by enumeration": lambda: calibrate_sgd(repetitions, seed),
        "rounding of uniform gradients": lambda: calibrate_rounding(repetitions, seed),
        "another batch size": lambda: calibrate_batch_size(repetitions, seed),
        "alpha of inverses": lambda: calibrate_inverses(repetitions, seed),
        "memory on the CPU": calibrate_memory,
    }
    if torch.cuda.is_available():
        parts["memory on the GPU"] = lambda: calibrate_memory("cuda")
        parts["time on the GPU"] = lambda: calibrate_duration(repetitions, "cuda")
    counts: list[Count] = []
    for what, part in parts.items():
        say(what)
        counts += part()
    say("planted faults")
    return Calibration(tuple(counts), tuple(find_faults(seed)))
