"""What was found of a model and its strategies, as the rows of the tables: the same for a case's cell and an audit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from torch import nn

from gradbench.case.schema import Measure
from gradbench.measure.activations import RebuiltActivation, decibel, measure_activations
from gradbench.measure.batch import Batch, Loss
from gradbench.measure.cost import Cost
from gradbench.measure.errors import INTERVALS, GradientErrors
from gradbench.measure.gradients import Comparison, measure_gradients
from gradbench.measure.out_of_memory import is_out_of_memory, out_of_memory_in_short
from gradbench.measure.state import State
from gradbench.measure.verdict import verdict, worst
from gradbench.strategies.base import Strategy

__all__ = ["Findings", "Row", "measure_step"]

Row = dict[str, Any]
#: What a single minibatch, such as the whole data set, has no number of.
_OF_ONE_MINIBATCH: Row = dict.fromkeys(
    [f"{name}_{end}" for name in INTERVALS for end in ("low", "high")]
    + ["sgd_variance", "noise_ratio", "bias_ratio", "draw_variance_ratio"]
)


@dataclass
class Findings:
    """The rows found so far of each table, and each strategy's row of `cells`."""

    rows: dict[str, list[Row]] = field(
        default_factory=lambda: {"gradients": [], "activations": [], "state": [], "training": []}
    )
    summary: dict[str, Row] = field(default_factory=dict)

    def plan(self, strategy: str, excluded: str | None, reference: str = "stored") -> None:
        """Begin the row of a strategy that is held against `reference`, with the reason if it is excluded."""
        self.summary[strategy] = {
            "strategy": strategy,
            "status": "excluded" if excluded else "ok",
            "reason": excluded or "",
            "reference": reference,
        }

    def fail(self, strategy: str, error: Exception) -> None:
        """Note what a strategy raised: out of memory, or an error."""
        status, said = ("oom", out_of_memory_in_short(error)) if is_out_of_memory(error) else ("error", str(error))
        self.summary[strategy].update(status=status, reason=f"{type(error).__name__}: {said}".strip(": "))

    def without_reference(self, reference: str) -> None:
        """Let every strategy that works share the reference's fate: there is nothing to hold it against."""
        status, reason = (self.summary[reference][key] for key in ("status", "reason"))
        for summary in self.summary.values():
            if summary["status"] == "ok":
                summary.update(status=status, reason=f"{reference}, which it is held against: {reason}")

    def note(self, strategy: str, sentence: str) -> None:
        """Add what a reader of a strategy's numbers must know, if there is something, once."""
        known = self.summary[strategy].get("notes", "")
        if sentence not in known:
            self.summary[strategy]["notes"] = "; ".join(filter(None, (known, sentence)))

    def works(self, strategy: str) -> bool:
        """Return whether a strategy applies and has raised nothing."""
        return self.summary[strategy]["status"] not in ("excluded", "oom", "error")

    def add_cost(self, costs: Mapping[str, Cost], reference: str, pixels: int | None) -> None:
        """Add what steps cost, for each pixel too where there are any."""
        for name, cost in costs.items():
            self.summary[name]["step_seconds"] = cost.step_seconds
            if reference in costs:
                self.summary[name]["time_ratio"] = cost.step_seconds / costs[reference].step_seconds
            if cost.memory is not None:
                self.summary[name].update(
                    peak_bytes=cost.memory.peak,
                    saved_bytes=cost.memory.saved,
                    left_bytes=cost.memory.left,
                    bytes_per_pixel=cost.memory.peak / pixels if pixels else None,
                )

    def add_gradients(
        self,
        strategy: str,
        step: int,
        model: nn.Module,
        found: Comparison,
        parameters: str = "weights",
        check: Comparison | None = None,
    ) -> None:
        """Add a strategy's errors: rows of its weight tensors, or of all parameters, and its counts of faults.

        Where no weight tensor has a gradient, all parameters have their rows. `check` is the same with minibatches of
        another size.
        """
        layer, kinds = _layer_positions(model), _kinds(model)
        checks = {errors.parameter: errors for errors in check.gradients} if check else {}
        weights = {errors.parameter for errors in found.gradients if kinds[errors.parameter] == "weight"}
        self.rows["gradients"] += [
            _gradient_row(
                strategy, step, layer[errors.parameter], kinds[errors.parameter], errors, checks.get(errors.parameter)
            )
            | (_OF_ONE_MINIBATCH if found.minibatches == 1 else {})
            for errors in found.gradients
            if parameters == "all" or not weights or errors.parameter in weights
        ]
        summary = self.summary[strategy]
        missing = sum(errors.missing for errors in found.gradients)
        summary["missing_gradients"] = max(summary.get("missing_gradients", 0), missing)
        summary["changed_buffers"] = max(summary.get("changed_buffers", 0), len(found.changed_buffers))
        summary["repeat_error"] = float(np.maximum(summary.get("repeat_error", 0.0), found.repeat_error))

    def add_activations(self, strategy: str, step: int, rebuilt: Sequence[RebuiltActivation]) -> None:
        """Add a strategy's rebuilt activations."""
        self.rows["activations"] += [
            {"strategy": strategy, "step": step, "snr_db": decibel(one.snr), **asdict(one)} for one in rebuilt
        ]

    def tables(self) -> dict[str, list[Row]]:
        """Return every table's rows, with the verdict of each strategy: the worst over weight tensors and steps.

        Where no weight tensor has a gradient, the worst over all parameters.
        """
        return {"cells": [self._finished(name) for name in self.summary], **self.rows}

    def _finished(self, name: str) -> Row:
        summary = dict(self.summary[name])
        of_all = [row for row in self.rows["gradients"] if row["strategy"] == name]
        if rows := [row for row in of_all if row["kind"] == "weight"] or of_all:
            ratios = [row["noise_ratio"] for row in rows if row["noise_ratio"] is not None]
            decisive = worst(row["verdict"] for row in rows)
            guilty = max((row for row in rows if row["verdict"] == decisive), key=_badness)
            summary.update(
                verdict=decisive,
                worst_parameter=guilty["parameter"],
                worst_step=guilty["step"],
                worst_noise_ratio=guilty["noise_ratio"],
                rel_error=float(np.median([row["rel_error"] for row in rows])),
                noise_ratio=float(np.median(ratios)) if ratios else None,
            )
        if summary.get("missing_gradients"):
            summary["verdict"] = "broken"
        snrs = [r["snr_db"] for r in self.rows["activations"] if r["strategy"] == name and r["block"] >= 0]
        if snrs:
            summary["min_snr_db"] = float(np.min(snrs))  # NaN when one of them is
        return summary


def measure_step(
    findings: Findings,
    model: nn.Module,
    reference: Strategy,
    strategies: Sequence[Strategy],
    batches: Sequence[Batch],
    wanted: Measure,
    *,
    step: int = 0,
    truths: int,
    truth: Strategy | None = None,
    loss: Loss | None = None,
    between: Callable[[], None] = lambda: None,
    check: Sequence[Batch] = (),
) -> None:
    """Measure what one step leaves behind, gradients and activations of every strategy at the model's present weights.

    A strategy that raises while its step is checked is left out of what follows; without that check it raises here.

    Args:
        findings: gets the rows.
        model: left as it was.
        reference: the stored strategy.
        strategies: those to measure, the reference among them.
        batches: M >= 1 minibatches.
        wanted: what of it is measured.
        step: optimiser steps taken so far.
        truths: how many minibatches are also run in float64.
        truth: the stored strategy for float64, as in `measure_gradients`.
        loss: from output and target to the loss; by default the mean cross-entropy.
        between: called before each minibatch.
        check: minibatches of another size, to hold what is extrapolated to it against.
    """
    given: dict[str, Any] = {} if loss is None else {"loss": loss}
    if wanted.state and not findings.rows["state"]:
        state = State(model, reference, batches[0], **given)
        for strategy in strategies:
            between()
            try:
                checks = state.of(strategy)
            except Exception as error:
                if strategy is reference:
                    raise
                findings.fail(strategy.name, error)
                continue
            findings.rows["state"] += [{"strategy": strategy.name, **asdict(check)} for check in checks]
        strategies = [strategy for strategy in strategies if findings.works(strategy.name)]
    found = measure_gradients(
        model, reference, strategies, batches, truths, between, truth=truth, draws=wanted.draws, **given
    )
    for comparison in found.values():  # the same for each
        findings.note(reference.name, comparison.no_truth)
    checked = measure_gradients(model, reference, strategies, check, 0, between, **given) if check else {}
    for strategy in strategies:
        name = strategy.name
        findings.add_gradients(name, step, model, found[name], wanted.parameters, checked.get(name))
        if strategy.rebuilds and wanted.activations:
            rebuilt = measure_activations(model, reference, strategy, batches[0], **given)
            findings.add_activations(strategy.name, step, rebuilt)


def _gradient_row(
    strategy: str, step: int, layer: int, kind: str, errors: GradientErrors, check: GradientErrors | None
) -> Row:
    row = asdict(errors)
    for end in ("ratio", "low", "high"):
        row[f"check_noise_{end}"] = getattr(check, f"noise_{end}") if check else None
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
    """Return for each parameter the position of its layer in the model's order, 0 next to the input."""
    owners: dict[str, int] = {}
    for name, _ in model.named_parameters():
        owners.setdefault(name.rpartition(".")[0], len(owners))
    return {name: owners[name.rpartition(".")[0]] for name, _ in model.named_parameters()}


def _kinds(model: nn.Module) -> dict[str, str]:
    """Return for each parameter whether it is a weight (two axes or more), a norm's, or another bias."""
    kinds = {}
    for name, parameter in model.named_parameters():
        owner = type(model.get_submodule(name.rpartition(".")[0])).__name__
        kinds[name] = "weight" if parameter.dim() > 1 else "norm" if "norm" in owner.lower() else "bias"
    return kinds


def _badness(row: Row) -> float:
    ratio: float | None = row["noise_ratio"]
    if ratio is None:  # of one minibatch, without noise
        ratio = row["rel_error"]
    return math.inf if math.isnan(ratio) else ratio
