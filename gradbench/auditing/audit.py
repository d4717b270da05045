"""`gradbench.audit`: any module, any loss, any method, and the verdict on its gradients."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import nn

from gradbench.auditing.eager import eager
from gradbench.auditing.given import check_model, check_training_step, chosen, taken, to_measure, why_no_truth
from gradbench.auditing.protocol import Guarded
from gradbench.auditing.quiet import quiet
from gradbench.auditing.result import Audit, Subject
from gradbench.auditing.untouched import untouched
from gradbench.measure.batch import Batch, Loss, pixels
from gradbench.measure.cost import measure_cost
from gradbench.measure.findings import Findings, measure_step
from gradbench.measure.size import size
from gradbench.measure.trial import try_step, why_excluded
from gradbench.strategies.base import Strategy
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
    wanted = to_measure(
        parameters=parameters,
        truth_batches=truth_batches,
        activations=activations,
        cost=cost,
        cost_repeats=cost_repeats,
    )
    device = check_model(model)
    picked = chosen(strategies)
    reference, findings = Stored(), Findings()
    with eager(model) as compiled, untouched(model) as record, torch.enable_grad(), quiet(picked):
        given = taken(batches, minibatches, device)
        say("stored training")
        floor = check_training_step(model, reference, given, loss_fn)
        record.pass_over_changes()
        guarded = [Guarded(one, record) for one in picked]
        notes: dict[str, tuple[str, ...]] = {}
        for strategy in (reference, *guarded):
            name = strategy.name
            notes[name] = ()
            try:
                reason = why_excluded(model, strategy, given[0])
                findings.plan(name, reason)
                notes[name] = () if reason else tuple(strategy.notes(model))
            except Exception as error:  # of a strategy of the user's own
                findings.plan(name, None)
                findings.fail(name, error)
            findings.summary[name].update(size(model, name, pixels(given[0][0])), notes="; ".join(notes[name]))
            if strategy.foreign and findings.works(name):
                failure = try_step(model, strategy, given[0], loss_fn)
                findings.summary[name].update(failure._asdict() if failure else {})

        def working() -> list[Strategy]:
            return [one for one in (reference, *guarded) if findings.works(one.name)]

        def measure_gradients() -> None:
            findings.rows.update(gradients=[], activations=[])
            measure_step(findings, model, reference, working(), given, wanted, truths=truths, loss=loss_fn)

        def measure_costs() -> None:
            costs = measure_cost(model, working(), given[0], cost_repeats, loss=loss_fn)
            findings.add_cost(costs, reference.name, pixels(given[0][0]))

        say("gradients")
        no_truth = why_no_truth(model, given[0], loss_fn) if truth_batches else ""
        truths = 0 if no_truth else truth_batches
        _without_failures(measure_gradients, findings)
        row = findings.summary[reference.name]
        notes[reference.name] = tuple(filter(None, [compiled, row["notes"], no_truth]))
        row["notes"] = "; ".join(notes[reference.name])
        if cost:
            say("time and memory")
            _without_failures(measure_costs, findings)
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


def _without_failures(measure: Callable[[], None], findings: Findings) -> None:
    """Measure, and again without a strategy that raises meanwhile: the failure is its own, and takes its rows away."""
    while True:
        try:
            return measure()
        except Exception as error:
            culprit = getattr(error, "gradbench_strategy", None)
            if culprit is None:
                raise
            findings.fail(culprit, error)
            for rows in findings.rows.values():
                rows[:] = [row for row in rows if row["strategy"] != culprit]
