"""One cell from its settings to the rows of its tables."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from gradbench.case.expand import Cell
from gradbench.case.schema import Settings
from gradbench.data import DATASETS
from gradbench.data.batches import Batches
from gradbench.data.dataset import Dataset
from gradbench.measure.activations import decibel, measure_activations
from gradbench.measure.cost import measure_cost
from gradbench.measure.errors import GradientErrors
from gradbench.measure.gradients import measure_gradients
from gradbench.measure.precision import PRECISIONS, InPrecision, Precision, use_precision
from gradbench.measure.training import train
from gradbench.measure.verdict import verdict, worst
from gradbench.models.build import build
from gradbench.strategies import STRATEGIES
from gradbench.strategies.base import Strategy

__all__ = ["Gate", "run_cell"]

Row = dict[str, Any]
REFERENCE = "stored"


class Gate(Protocol):
    """Who may use the device: many cells at once, or one alone while it measures time."""

    def shared(self) -> AbstractContextManager[None]:
        """Use the device beside others."""
        ...

    def exclusive(self) -> AbstractContextManager[None]:
        """Use the device alone."""
        ...

    def give_way(self, finish: Callable[[], None]) -> None:
        """Let whoever waits to be alone go first, after `finish` has ended what was started."""
        ...


@dataclass
class _Cell:
    """A cell while it runs: its parts, and the rows found so far."""

    settings: Settings
    seed: int
    device: torch.device
    dataset: Dataset
    batches: Batches
    strategies: dict[str, InPrecision]
    precision: Precision
    excluded: dict[str, str]
    rows: dict[str, list[Row]] = field(default_factory=lambda: {"gradients": [], "activations": [], "training": []})
    summary: dict[str, Row] = field(default_factory=dict)
    measuring_seconds: float = 0.0

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Count the time inside as measuring, not training."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.measuring_seconds += time.perf_counter() - started

    @property
    def reference(self) -> InPrecision:
        return self.strategies[REFERENCE]

    def finish(self) -> None:
        """Wait until the device has done what it was told."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def model(self) -> nn.Module:
        """Return the network at its initialisation, the same every time."""
        torch.manual_seed(self.seed)
        model = build(self.settings.model, self.dataset.classes, self.settings.data.image_size)
        return model.to(self.device, self.precision.dtype)


def run_cell(cell: Cell, device: str, gate: Gate, say: Callable[[str], None]) -> dict[str, list[Row]]:
    """Run one cell and return the rows of `cells`, `gradients`, `activations` and `training`.

    The rows lack the columns `cell`, the axes and `seed`, which are the same for all of them.

    Args:
        cell: what to run.
        device: "cpu", "cuda" or "cuda:N".
        gate: holds the other cells off while time and memory are measured.
        say: is told what is being done.

    Raises:
        GradbenchError: the data set or the model cannot be made.
    """
    started = time.perf_counter()
    with gate.shared():
        say("loading")
        work = _prepare(cell, torch.device(device))
    if REFERENCE not in work.strategies:
        return {"cells": list(work.summary.values()), **work.rows}
    if cell.settings.measure.cost:
        say("time and memory")
        with work.measuring():
            _measure_cost(work, gate)
    _measure_training(work, gate, say)
    wall = time.perf_counter() - started
    for row in work.summary.values():
        row.update(wall_seconds=wall, measuring_share=work.measuring_seconds / wall)
    return {"cells": [_finish(work, name) for name in work.summary], **work.rows}


def _prepare(cell: Cell, device: torch.device) -> _Cell:
    settings = cell.settings
    dataset = DATASETS[settings.data.name].load()(settings.data, device, cell.seed)
    trained = settings.train.strategies if isinstance(settings.train.strategies, tuple) else ()
    names = dict.fromkeys((REFERENCE, *settings.measure.strategies, *trained))
    precision = PRECISIONS[settings.train.precision]
    use_precision(precision)
    work = _Cell(
        settings=settings,
        seed=cell.seed,
        device=device,
        dataset=dataset,
        batches=Batches(dataset, settings.data, cell.seed, precision.dtype),
        strategies={name: InPrecision(STRATEGIES.create(name), precision) for name in names},
        precision=precision,
        excluded={},
    )
    model = work.model()
    for name, strategy in list(work.strategies.items()):
        reason = precision.unavailable(device) or strategy.applies_to(model)
        work.summary[name] = {"strategy": name, "status": "excluded" if reason else "ok", "reason": reason or ""}
        if reason:
            del work.strategies[name]
    return work


def _measure_cost(work: _Cell, gate: Gate) -> None:
    with gate.shared():
        model, batch = work.model(), work.batches.batch(0)
    pixels = batch[0].shape[0] * batch[0].shape[2] * batch[0].shape[3]
    repeats = work.settings.measure.cost_repeats
    costs = measure_cost(model, list(work.strategies.values()), batch, repeats, gate.shared, gate.exclusive)
    for name, cost in costs.items():
        work.summary[name].update(
            step_seconds=cost.step_seconds,
            time_ratio=cost.step_seconds / costs[REFERENCE].step_seconds,
            peak_bytes=cost.memory.peak,
            saved_bytes=cost.memory.saved,
            left_bytes=cost.memory.left,
            bytes_per_pixel=cost.memory.peak / pixels,
        )


def _measure_training(work: _Cell, gate: Gate, say: Callable[[str], None]) -> None:
    """Train with stored activations and measure along the way; then train with every other wanted strategy."""
    settings = work.settings
    wanted = settings.train.strategies
    trained = [] if wanted == "none" else list(work.strategies) if wanted == "all" else [REFERENCE, *wanted]
    model = work.model()
    measured: set[int] = set()

    def give_way(step: int) -> None:
        gate.give_way(work.finish)

    def measure(step: int) -> None:
        give_way(step)
        if step in settings.measure.at:
            say(f"gradients at step {step}")
            with work.measuring():
                _measure_step(work, model, step, lambda: give_way(step))
            measured.add(step)

    with gate.shared():
        say("training with stored activations")
        _train(work, work.reference, model, REFERENCE in trained, measure)
    if late := [step for step in settings.measure.at if step not in measured]:
        reason = f"stored training diverged before step {late[0]}, so that nothing could be measured there"
        for summary in work.summary.values():
            if summary["status"] == "ok":
                summary.update(status="diverged", reason=reason)
    for name in trained:
        if name != REFERENCE and name in work.strategies:
            with gate.shared():
                say(f"training with {name}")
                _train(work, work.strategies[name], work.model(), True, give_way)


def _train(work: _Cell, strategy: Strategy, model: nn.Module, curve: bool, at: Callable[[int], None]) -> None:
    """Train with one strategy and keep its learning curve. Out of memory is a result, of this strategy alone."""
    settings = work.settings
    summary = work.summary[strategy.name]
    steps = settings.train.steps if curve else max(settings.measure.at, default=0)
    try:
        points = train(model, strategy, work.batches, settings.train, steps=steps, curve=curve, at=at)
    except torch.OutOfMemoryError as error:
        if strategy is work.reference:
            raise
        summary.update(status="oom", reason=f"training: {str(error).splitlines()[0]}")
        return
    work.rows["training"] += [{"strategy": strategy.name, **asdict(point)} for point in points]
    if not points:
        return
    last = points[-1]
    if last.diverged:
        summary.update(status="diverged", reason=f"the loss was not finite by step {last.step}")
    else:
        summary.update(accuracy=last.accuracy, loss=last.loss)


def _measure_step(work: _Cell, model: nn.Module, step: int, give_way: Callable[[], None]) -> None:
    """Measure gradients, buffers and activations of every strategy at the model's present weights."""
    was_training = model.training
    model.train()
    measure = work.settings.measure
    batches = work.batches.fresh(measure.sgd_batches)
    wanted = dict.fromkeys((REFERENCE, *measure.strategies))
    strategies = [work.strategies[name] for name in wanted if name in work.strategies]
    layer = _layer_positions(model)
    kinds = _kinds(model)
    # In float64 stored training is the truth itself.
    truths = 0 if work.precision.dtype == torch.float64 else measure.truth_batches
    truth = work.reference.strategy
    found = measure_gradients(model, work.reference, strategies, batches, truths, give_way, truth=truth)
    for strategy in strategies:
        errors = found[strategy.name].gradients
        work.rows["gradients"] += [
            _gradient_row(strategy.name, step, layer[e.parameter], kinds[e.parameter], e)
            for e in errors
            if measure.parameters == "all" or kinds[e.parameter] == "weight"
        ]
        summary = work.summary[strategy.name]
        missing = sum(e.missing for e in errors)
        summary["missing_gradients"] = max(summary.get("missing_gradients", 0), missing)
        changed = len(found[strategy.name].changed_buffers)
        summary["changed_buffers"] = max(summary.get("changed_buffers", 0), changed)
        summary["repeat_error"] = float(np.maximum(summary.get("repeat_error", 0.0), found[strategy.name].repeat_error))
        if strategy.rebuilds and measure.activations:
            work.rows["activations"] += [
                {"strategy": strategy.name, "step": step, "snr_db": decibel(rebuilt.snr), **asdict(rebuilt)}
                for rebuilt in measure_activations(model, work.reference, strategy, batches[0])
            ]
    model.train(was_training)


def _gradient_row(strategy: str, step: int, layer: int, kind: str, errors: GradientErrors) -> Row:
    row = asdict(errors)
    for unwanted in ("identical", "finite", "missing"):
        del row[unwanted]
    return {
        "strategy": strategy,
        "step": step,
        "layer": layer,
        "kind": kind,
        "verdict": verdict(errors),
        "snr_db": decibel(1 / errors.rel_error**2) if errors.rel_error else math.inf,
        **row,
    }


def _layer_positions(model: nn.Module) -> dict[str, int]:
    """Return for each parameter the position of its layer in the model's order, 0 next to the image."""
    owners: dict[str, int] = {}
    for name, _ in model.named_parameters():
        owners.setdefault(name.rpartition(".")[0], len(owners))
    return {name: owners[name.rpartition(".")[0]] for name, _ in model.named_parameters()}


def _kinds(model: nn.Module) -> dict[str, str]:
    """Return for each parameter whether it is a weight (two axes or more), a bias, or a norm's."""
    kinds = {}
    for name, parameter in model.named_parameters():
        owner = model.get_submodule(name.rpartition(".")[0])
        plain = isinstance(owner, nn.Conv2d | nn.Linear)
        kinds[name] = "weight" if parameter.dim() > 1 else "bias" if plain else "norm"
    return kinds


def _finish(work: _Cell, name: str) -> Row:
    """Complete the summary of one strategy from its rows: the verdict is the worst over weight tensors and steps."""
    summary = work.summary[name]
    rows = [row for row in work.rows["gradients"] if row["strategy"] == name and row["kind"] == "weight"]
    if rows:
        decisive = worst(row["verdict"] for row in rows)
        guilty = max((row for row in rows if row["verdict"] == decisive), key=_badness)
        summary.update(
            verdict=decisive,
            worst_parameter=guilty["parameter"],
            worst_step=guilty["step"],
            worst_noise_ratio=guilty["noise_ratio"],
            rel_error=float(np.median([row["rel_error"] for row in rows])),
            noise_ratio=float(np.median([row["noise_ratio"] for row in rows])),
        )
    if summary.get("missing_gradients"):
        summary["verdict"] = "broken"
    snrs = [r["snr_db"] for r in work.rows["activations"] if r["strategy"] == name and r["block"] >= 0]
    if snrs:
        summary["min_snr_db"] = float(np.min(snrs))  # NaN when one of them is
    return summary


def _badness(row: Row) -> float:
    ratio: float = row["noise_ratio"]
    return math.inf if math.isnan(ratio) else ratio
