"""What there is to run: each cell with the key of its result and the work that it is expected to be."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gradbench.case.expand import Cell
from gradbench.case.schema import Data, Settings
from gradbench.errors import UsageError, did_you_mean

__all__ = ["Planned", "chosen_cells", "cores", "default_jobs", "in_running_order", "plan", "strategies", "work"]


@dataclass(frozen=True)
class Planned:
    """A cell, the key of its result in the store, its name for people and its expected work."""

    cell: Cell
    key: str
    label: str
    work: float


def plan(
    cells: Iterable[Cell], deciding: Callable[[Settings], dict[str, Any]], data_identity: Callable[[Data], str]
) -> list[Planned]:
    """Give each cell its key: a hash of its settings and seed, its data and `deciding` (source, torch, device)."""
    identities: dict[Data, str] = {}
    planned = []
    for cell in cells:
        data = cell.settings.data
        if data not in identities:
            identities[data] = data_identity(data)
        settings = cell.settings.model_dump(mode="json", exclude={"data": {"path"}})  # its bytes count, not its place
        parts = {"settings": settings, "seed": cell.seed, "data": identities[data], **deciding(cell.settings)}
        text = json.dumps(parts, sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()[:32]
        planned.append(Planned(cell, key, _label(cell), work(cell.settings)))
    return planned


def chosen_cells(planned: Sequence[Planned], names: Sequence[str]) -> list[Planned]:
    """The cells whose id or label is one of `names`; all of them without names.

    Raises:
        UsageError: a name is that of no cell.
    """
    if not names:
        return list(planned)
    known = {name for one in planned for name in (one.cell.id, one.label)}
    for name in names:
        if name not in known:
            case = planned[0].cell.case
            near = did_you_mean(name, known)
            raise UsageError(f"--cell {name}: {case} has no such cell with this profile and these settings{near}")
    return [one for one in planned if one.cell.id in names or one.label in names]


def in_running_order(planned: Iterable[Planned]) -> list[Planned]:
    """Cells that need the device alone first, then the longest first, so that no long one is left for the end."""
    return sorted(planned, key=lambda one: (not one.cell.settings.measure.cost, -one.work))


def work(settings: Settings) -> float:
    """How long a cell takes beside others, in an arbitrary unit: passes through the network times its size."""
    measure, train = settings.measure, settings.train
    each = len(strategies(settings))
    trained = 1 if train.strategies == "none" else each if train.strategies == "all" else 1 + len(train.strategies)
    passes = train.steps * trained + len(measure.at) * each * (measure.sgd_batches + 4 * measure.truth_batches)
    if measure.cost:
        passes += each * measure.cost_repeats
    model, data = settings.model, settings.data
    return float(passes * model.depth * model.branch_layers * model.width * data.batch_size * data.image_size**2)


def strategies(settings: Settings) -> tuple[str, ...]:
    """The strategies that a cell should have rows for, the reference first."""
    trained = settings.train.strategies if isinstance(settings.train.strategies, tuple) else ()
    return tuple(dict.fromkeys((settings.measure.reference, *settings.measure.strategies, *trained)))


def default_jobs(devices: Sequence[str], per_gpu: int | None = None) -> int:
    """How many cells run at once: two on a CPU; one to twelve on each GPU, as far as there are cores for them.

    Args:
        devices: "cpu", or GPUs.
        per_gpu: how many the case lets share a GPU; None for any number.
    """
    if devices[0].startswith("cuda"):
        return max(len(devices), min((per_gpu or 12) * len(devices), cores() * 3 // 4))
    return min(2, cores())


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _label(cell: Cell) -> str:
    point = (value if isinstance(value, str) else f"{axis}={value}" for axis, value in cell.point.items())
    return " ".join((*point, f"seed={cell.seed}"))
