"""Real cells in the runner's real processes, in which `checkpoint` has the fault that `fault.txt` beside the data says.

The fault's first word is its kind: "error 0.01" moves every gradient by a hundredth, in the same direction every time;
"random" by an amount that nobody can repeat; "buffers" moves the running statistics once more. "none" is none.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gradbench.invertible import storing
from gradbench.measure.cell import run_cell as real_cell
from gradbench.registry import Entry
from gradbench.strategies import STRATEGIES
from gradbench.strategies.base import Strategy

_fault = ["none"]


class Faulty(Strategy):
    """Stored training under the name of checkpointing, with a fault."""

    name = "checkpoint"

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        with storing(model):
            yield
        kind, *amount = _fault
        if kind == "buffers":
            for module in model.modules():
                if getattr(module, "running_mean", None) is not None:
                    module.running_mean.mul_(1.1)
        if kind in ("error", "random"):
            seed = random.SystemRandom().getrandbits(32) if kind == "random" else 0
            generator = torch.Generator().manual_seed(seed)
            for parameter in (one for one in model.parameters() if one.grad is not None):
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.grad += float(amount[0]) * noise * parameter.grad.norm() / noise.norm()


def run_cell(
    cell: Any, begun: Path, device: str, gate: Any, say: Callable[[str], None]
) -> dict[str, list[dict[str, Any]]]:
    _fault[:] = Path(cell.settings.data.path).with_name("fault.txt").read_text().split()
    STRATEGIES._entries["checkpoint"] = Entry("planted_cells:Faulty", "stored training with a fault")
    return real_cell(cell, begun, device, gate, say)


def report(folder: Path) -> Path:
    return folder
