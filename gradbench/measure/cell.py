"""One cell from its settings to the rows of its tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from gradbench.case.expand import Cell
from gradbench.case.schema import Settings
from gradbench.data import DATASETS
from gradbench.data.batches import Batches, Minibatch
from gradbench.data.dataset import Dataset
from gradbench.measure.batch import pixels
from gradbench.measure.begun import Begun
from gradbench.measure.cost import measure_cost
from gradbench.measure.findings import Findings, Row, measure_step
from gradbench.measure.limit import Room, limited
from gradbench.measure.out_of_memory import is_out_of_memory, out_of_memory_in_short
from gradbench.measure.precision import (
    PRECISIONS,
    InPrecision,
    Precision,
    deterministic_convolutions,
    use_precision,
)
from gradbench.measure.size import size
from gradbench.measure.training import train
from gradbench.measure.trial import try_step, why_excluded
from gradbench.models.build import build
from gradbench.strategies import STRATEGIES
from gradbench.strategies.base import Strategy

__all__ = ["Gate", "named", "prepare", "run_cell"]

#: Of what is tried before anything is measured.
_TRIED_IMAGES = 4


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
    """A cell while it runs: its parts, and what was found so far."""

    settings: Settings
    seed: int
    device: torch.device
    dataset: Dataset
    batches: Batches
    strategies: dict[str, InPrecision]
    precision: Precision
    findings: Findings = field(default_factory=Findings)
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
    def summary(self) -> dict[str, Row]:
        return self.findings.summary

    @property
    def reference(self) -> InPrecision:
        return self.strategies[self.settings.measure.reference]

    @property
    def truths(self) -> int:
        """How many minibatches are run in float64 as well; in float64 stored training is the truth itself."""
        return 0 if self.precision.dtype == torch.float64 else self.settings.measure.truth_batches

    def checks(self) -> list[Minibatch]:
        """Return as many minibatches of the second size, none where there is no such size."""
        measure, data = self.settings.measure, self.settings.data
        if measure.check_batch_size is None:
            return []
        resized = data.model_copy(update={"batch_size": measure.check_batch_size})
        return Batches(self.dataset, resized, self.seed, self.precision.dtype).fresh(measure.sgd_batches)

    def limited(self, limit: int | None) -> AbstractContextManager[None]:
        """Let the process have no more memory than this inside, in a cell that has a limit; None for all there is."""
        return limited(self.device, limit) if self.settings.train.memory_limit else nullcontext()

    def renew(self) -> None:
        """Let every strategy be as new: one that is random counts its draws, and one that learns has learnt."""
        self.strategies = {name: InPrecision(STRATEGIES.create(name), self.precision) for name in self.strategies}

    def finish(self) -> None:
        """Wait until the device has done what it was told."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def model(self) -> nn.Module:
        """Return the network at its initialisation, the same every time."""
        torch.manual_seed(self.seed)
        model = build(self.settings.model, self.dataset.classes, self.settings.data.image_size)
        return model.to(self.device, self.precision.dtype)


def run_cell(
    cell: Cell, begun: Path | None, device: str, gate: Gate, say: Callable[[str], None]
) -> dict[str, list[Row]]:
    """Run one cell and return the rows of `cells`, `gradients`, `activations`, `state` and `training`.

    The rows lack the columns `cell`, the axes and `seed`, which are the same for all of them.

    Args:
        cell: what to run.
        begun: the file that keeps what is found after each phase; what it has of an earlier run is not run again.
        device: "cpu", "cuda" or "cuda:N".
        gate: holds the other cells off while time and memory are measured.
        say: is told what is being done.

    Raises:
        GradbenchError: the data set or the model cannot be made.
    """
    started = time.perf_counter()
    with gate.shared():
        say("loading")
        work = prepare(cell, torch.device(device))
    if cell.settings.measure.reference not in work.strategies:
        work.findings.without_reference(cell.settings.measure.reference)
        return work.findings.tables()
    before = Begun.read(begun)
    if before.phases:
        work.findings.rows, work.findings.summary = before.rows, before.summary
        work.measuring_seconds = before.measuring_seconds
    phases = list(before.phases)
    for name, run in _phases(work, gate, say):
        if name in phases:
            continue
        if begun is not None and len(phases) > len(before.phases):
            wall = before.seconds + time.perf_counter() - started
            Begun(phases, work.findings.rows, work.summary, wall, work.measuring_seconds).write(begun)
        work.renew()
        run()
        phases.append(name)
    wall = before.seconds + time.perf_counter() - started
    for row in work.summary.values():
        row.update(wall_seconds=wall, measuring_share=work.measuring_seconds / wall)
    return work.findings.tables()


def _phases(work: _Cell, gate: Gate, say: Callable[[str], None]) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield what a cell does, one after the other: each begins from nothing that another leaves but its findings.

    Nothing, but for the convolutions that cuDNN has found fastest in this process: time and memory come before what is
    tried within a limit, where it finds others.
    """
    settings = work.settings
    wanted, reference = settings.train.strategies, work.reference.name
    trained = [] if wanted == "none" else list(work.strategies) if wanted == "all" else [reference, *wanted]
    if settings.measure.cost:
        yield "cost", lambda: _measure_cost(work, gate, say)
    if settings.train.memory_limit:
        yield "fit", lambda: _measure_fit(work, gate, say)
    curve = reference in trained and work.findings.works(reference)
    yield "reference", lambda: _train_reference(work, gate, say, curve)
    for name in dict.fromkeys(trained):
        if name != reference and name in work.strategies and work.findings.works(name):
            yield f"training with {name}", partial(_train_other, work, gate, say, name)


def prepare(cell: Cell, device: torch.device) -> _Cell:
    """Return a cell's parts, ready to run, without the strategies that do not apply to its model or cannot make a step.

    Raises:
        GradbenchError: the data set or the model cannot be made.
    """
    settings = cell.settings
    if device.index is not None:
        torch.cuda.set_device(device)  # the current device is where kernels of Triton and the code of others run
    dataset = DATASETS[settings.data.name].load()(settings.data, device, cell.seed)
    trained = settings.train.strategies if isinstance(settings.train.strategies, tuple) else ()
    reference = settings.measure.reference
    names = dict.fromkeys((reference, *settings.measure.strategies, *trained))
    precision = PRECISIONS[settings.train.precision]
    use_precision(precision, settings.train.cudnn_benchmark)
    work = _Cell(
        settings=settings,
        seed=cell.seed,
        device=device,
        dataset=dataset,
        batches=Batches(dataset, settings.data, cell.seed, precision.dtype),
        strategies={name: InPrecision(STRATEGIES.create(name), precision) for name in names},
        precision=precision,
    )
    model = work.model()
    x, y = work.batches.batch(0)
    tried = x[:_TRIED_IMAGES], y[:_TRIED_IMAGES]
    for name, strategy in list(work.strategies.items()):
        reason = precision.unavailable(device) or why_excluded(model, strategy, tried)
        work.findings.plan(name, reason, reference)
        work.summary[name].update(
            size(model, name, pixels(x)), notes="" if reason else "; ".join(strategy.notes(model))
        )
        failure = None
        if strategy.foreign and not reason:
            failure = try_step(model, strategy, tried)
        if failure:
            work.summary[name].update(failure._asdict())
        if reason or failure:
            del work.strategies[name]
    return work


def _measure_fit(work: _Cell, gate: Gate, say: Callable[[str], None]) -> None:
    """Note the largest batch that fits, and who does not fit: of such a strategy only time and memory are measured."""
    say("what fits into the memory limit")
    with gate.shared(), work.measuring():
        room, batch = Room(work.settings, work.dataset, work.device), work.batches.batch(0)
        for name, strategy in work.strategies.items():
            fit, summary = room.of(strategy, work.model, batch), work.summary[name]
            summary["planned_batch"] = fit.planned_batch
            work.findings.note(name, fit.untold)
            if fit.over:
                summary.update(status="excluded", reason=fit.over)


def _measure_cost(work: _Cell, gate: Gate, say: Callable[[str], None]) -> None:
    say("time and memory")
    with work.measuring():
        with gate.shared():
            model, batch = work.model(), work.batches.batch(0)
        repeats = work.settings.measure.cost_repeats
        costs = measure_cost(model, list(work.strategies.values()), batch, repeats, gate.shared, gate.exclusive)
        work.findings.add_cost(costs, work.reference.name, pixels(batch[0]))


def _train_other(work: _Cell, gate: Gate, say: Callable[[str], None], name: str) -> None:
    with gate.shared():
        say(f"training with {name}")
        _train(work, work.strategies[name], work.model(), True, lambda step: gate.give_way(work.finish))


def _train_reference(work: _Cell, gate: Gate, say: Callable[[str], None], curve: bool) -> None:
    """Train with the reference, and measure every strategy at its weights."""
    at, reference = work.settings.measure.at, work.reference.name
    model = work.model()
    measured: set[int] = set()

    def measure(step: int) -> None:
        gate.give_way(work.finish)
        if step in at:
            say(f"gradients at step {step}")
            with work.limited(None), work.measuring(), deterministic_convolutions():
                _measure_step(work, model, step, lambda: gate.give_way(work.finish))
            measured.add(step)

    with gate.shared():
        say(f"training with {named(reference)}")
        _train(work, work.reference, model, curve, measure)
    if late := [step for step in at if step not in measured]:
        reason = (
            f"training with {named(reference)} diverged before step {late[0]}, so that nothing could be measured there"
        )
        for summary in work.summary.values():
            if summary["status"] == "ok":
                summary.update(status="diverged", reason=reason)


def named(strategy: str) -> str:
    """Return a reference as what one trains with."""
    return "stored activations" if strategy == "stored" else strategy


def _train(work: _Cell, strategy: Strategy, model: nn.Module, curve: bool, at: Callable[[int], None]) -> None:
    """Train with one strategy and keep its learning curve. Out of memory is a result, of this strategy alone."""
    settings = work.settings
    summary = work.summary[strategy.name]
    steps = settings.train.steps if curve else max(settings.measure.at, default=0)
    started, measuring = time.perf_counter(), work.measuring_seconds
    try:
        with work.limited(settings.train.memory_limit if curve else None):
            points = train(model, strategy, work.batches, settings.train, steps=steps, curve=curve, at=at)
            work.finish()
    except RuntimeError as error:
        if strategy is work.reference or not is_out_of_memory(error):
            raise
        summary.update(status="oom", reason=f"training: {out_of_memory_in_short(error)}")
        return
    work.findings.rows["training"] += [{"strategy": strategy.name, **asdict(point)} for point in points]
    if not points:
        return
    summary["train_seconds"] = time.perf_counter() - started - (work.measuring_seconds - measuring)
    last = points[-1]
    if last.diverged:
        summary.update(status="diverged", reason=f"the loss was not finite by step {last.step}")
    else:
        summary.update(accuracy=last.accuracy, loss=last.loss)


def _measure_step(work: _Cell, model: nn.Module, step: int, give_way: Callable[[], None]) -> None:
    """Measure every strategy at the model's present weights."""
    was_training = model.training
    model.train()
    measure = work.settings.measure
    batches = work.batches.fresh(measure.sgd_batches)
    # Stored training beside itself shows what the device does not repeat; of another reference, right by decree,
    # an error of 0 would say nothing.
    itself = ("stored",) if measure.reference == "stored" else ()
    wanted = dict.fromkeys((*itself, *measure.strategies))
    measure_step(
        work.findings,
        model,
        work.reference,
        [work.strategies[name] for name in wanted if name in work.strategies and work.findings.works(name)],
        batches,
        measure,
        step=step,
        truths=work.truths,
        truth=work.reference.strategy,
        between=give_way,
        check=work.checks(),
    )
    model.train(was_training)
