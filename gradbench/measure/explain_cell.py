"""A strategy explained on the network of a cell, trained once more."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F

from gradbench.case.expand import Cell
from gradbench.errors import EnvironmentError, UsageError
from gradbench.measure.cell import named, prepare
from gradbench.measure.explain import Explanation, explain
from gradbench.measure.precision import InPrecision, deterministic_convolutions
from gradbench.measure.training import train
from gradbench.strategies import STRATEGIES

__all__ = ["explain_cell"]


def explain_cell(
    cell: Cell, device: str, strategy: str, step: int, say: Callable[[str], None] = lambda text: None
) -> Explanation:
    """Train a cell's model with its reference to a step once more, and explain a strategy there.

    Args:
        cell: whose model, data and seed.
        device: "cpu", "cuda" or "cuda:N".
        strategy: one of the table of strategies, measured in that cell or not.
        step: at most the steps of its training.
        say: is told what is being done.

    Raises:
        GradbenchError: the step is beyond the training, the strategy is unknown or does not apply, the precision is not
            for this device, or the data set or the reference cannot be had.
    """
    settings = cell.settings
    if step > settings.train.steps:
        raise UsageError(f"step {step} is not allowed: this cell trains for {settings.train.steps} steps")
    if problem := STRATEGIES.check(strategy):
        raise UsageError(problem)
    work = prepare(cell, torch.device(device))
    if reason := work.precision.unavailable(work.device):
        raise EnvironmentError(f"this cell cannot be run here: {reason}")
    reference = settings.measure.reference
    if reference not in work.strategies:
        raise EnvironmentError(f"{reference}, the cell's reference: {work.findings.summary[reference]['reason']}")
    say(f"training with {named(reference)}, {step} steps")
    model = work.model()
    train(model, work.reference, work.batches, settings.train, steps=step, curve=False)
    model.train()
    say(f"{strategy} on growing parts of the model")
    with deterministic_convolutions():
        return explain(
            model,
            F.cross_entropy,
            work.batches.fresh(settings.measure.sgd_batches),
            InPrecision(STRATEGIES.create(strategy), work.precision),
            reference=work.reference,
            truth_batches=work.truths,
        )
