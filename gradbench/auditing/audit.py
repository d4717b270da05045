"""`gradbench.audit`: any module, any loss, any method, and the verdict on its gradients."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import nn

from gradbench.auditing.given import check_model, check_training_step, chosen, taken, why_no_truth
from gradbench.auditing.quiet import quiet
from gradbench.auditing.result import Audit, Subject
from gradbench.auditing.untouched import untouched
from gradbench.case.schema import Measure
from gradbench.errors import UsageError
from gradbench.measure.batch import Batch, Loss, pixels
from gradbench.measure.cost import measure_cost
from gradbench.measure.findings import Findings, measure_step
from gradbench.measure.size import size
from gradbench.measure.trial import try_step, why_excluded
from gradbench.strategies.stored import Stored

__all__ = ["audit"]


def audit(
    model: nn.Module,
    loss_fn: Loss,
    batches: Iterable[Batch],
    strategies: Iterable[str | Any],
    *,
    minibatches: int | None = None,
    parameters: Literal["weights", "all"] = "weights",
    truth_batches: int = 2,
    activations: bool = True,
    cost: bool = True,
    cost_repeats: int = 3,
    title: str = "",
    command: str = "",
    say: Callable[[str], None] = lambda text: None,
) -> Audit:
    """Compare the gradients of each strategy with those of stored training, at the model's present weights.

    The model is measured where it is and in the mode that it is in; afterwards it, its buffers, hooks and `grad` fields
    and all streams of random numbers are as before. The minibatches should be such as it is trained with: their spread
    is the noise that errors are compared with.

    Args:
        model: any module.
        loss_fn: `loss_fn(output, target)`, a scalar.
        batches: pairs (inputs, target) on the model's device: a list, a data loader, any iterable. Inputs are a tensor,
            a tuple or list of arguments, or a dict of named arguments.
        strategies: names such as "approximate:4", or strategies of your own: a name and `applied_to(model)`.
        minibatches: how many to take; by default all of a list or tuple, and 16 of anything else.
        parameters: "weights", or "all" for rows of norms and biases too.
        truth_batches: how many minibatches are also run in float64; without any, no verdict is `rounding`.
        activations: whether the SNR of rebuilt activations is measured.
        cost: whether time and memory are measured.
        cost_repeats: timed steps of each strategy.
        title: what the report calls it; by default the class of the model.
        command: the command line that repeats it, for the report.
        say: is told what is being done.

    Raises:
        UsageError: one of the arguments cannot be measured; the sentence says which, and why.
    """
    started = time.perf_counter()
    if parameters not in ("weights", "all"):
        raise UsageError(f"parameters {parameters!r}: allowed are weights, all")
    device = check_model(model)
    picked = chosen(strategies)
    wanted = Measure(
        parameters=parameters,
        activations=activations,
        cost=cost,
        cost_repeats=cost_repeats,
    )
    reference, findings = Stored(), Findings()
    with untouched(model), torch.enable_grad(), quiet(picked):
        given = taken(batches, minibatches, device)
        say("stored training")
        floor = check_training_step(model, reference, given, loss_fn)
        notes = {}
        for strategy in (reference, *picked):
            reason = why_excluded(model, strategy, given[0])
            findings.plan(strategy.name, reason)
            notes[strategy.name] = () if reason else tuple(strategy.notes(model))
            row = findings.summary[strategy.name]
            row.update(size(model, strategy.name, pixels(given[0][0])), notes="; ".join(notes[strategy.name]))
            if strategy.foreign and not reason and (failure := try_step(model, strategy, given[0], loss_fn)):
                findings.summary[strategy.name].update(failure._asdict())

        def working() -> list[Any]:
            return [one for one in (reference, *picked) if findings.works(one.name)]

        say("gradients")
        no_truth = why_no_truth(model, given[0], loss_fn) if truth_batches else ""
        truths = 0 if no_truth else truth_batches
        measure_step(findings, model, reference, working(), given, wanted, truths=truths, loss=loss_fn)
        row = findings.summary[reference.name]
        row["notes"] = "; ".join(filter(None, [row["notes"], no_truth]))
        notes[reference.name] = tuple(filter(None, [row["notes"]]))
        if cost:
            say("time and memory")
            costs = measure_cost(model, working(), given[0], cost_repeats, loss=loss_fn)
            findings.add_cost(costs, reference.name, pixels(given[0][0]))
    seconds = time.perf_counter() - started
    for row in findings.summary.values():
        row.update(wall_seconds=seconds, measuring_share=1.0)
    return Audit(
        title=title or f"Audit of {type(model).__name__}",
        rows=findings.tables(),
        notes=notes,
        floor=floor,
        subject=Subject(model, loss_fn, given, {one.name: one for one in picked}),
        seconds=seconds,
        command=command,
    )
