"""What an audit found: tables, verdicts, the worst layers, faults, a report, and who is to blame."""

from __future__ import annotations

import html
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from gradbench.analysis.tables import typed
from gradbench.auditing.eager import eager
from gradbench.auditing.folder import write_folder
from gradbench.auditing.untouched import untouched
from gradbench.errors import UsageError, did_you_mean
from gradbench.files import write_atomic
from gradbench.measure.batch import Batch, Loss
from gradbench.measure.explain import Explanation, explain
from gradbench.report.build import build
from gradbench.results import RIGHT, VERDICTS
from gradbench.strategies.base import Strategy

__all__ = ["Audit", "Subject"]


@dataclass(frozen=True)
class Subject:
    """What was audited, for whoever asks further."""

    model: nn.Module
    loss_fn: Loss
    batches: Sequence[Batch]
    strategies: Mapping[str, Strategy]


@dataclass(frozen=True, eq=False, repr=False)
class Audit:
    """The result of an audit. Its tables have the columns of `gradbench.results`, without those of a case.

    Attributes:
        title: what the report calls it.
        rows: of each table.
        notes: for each strategy what a reader of its numbers must know, in sentences.
        floor: |g' - g| / |g| of two stored passes over the same minibatch; 0 when every bit is the same.
        subject: what was audited.
        seconds: how long it took.
        command: the command line that repeats it; empty where there is none.
    """

    title: str
    rows: dict[str, list[dict[str, Any]]]
    notes: Mapping[str, Sequence[str]]
    floor: float
    subject: Subject
    seconds: float
    command: str = ""

    @cached_property
    def cells(self) -> pd.DataFrame:
        """A row for each strategy: status, verdict, errors, time and memory."""
        return typed("cells", self.rows["cells"])

    @cached_property
    def gradients(self) -> pd.DataFrame:
        """A row for each strategy and weight tensor."""
        return typed("gradients", self.rows["gradients"])

    @cached_property
    def activations(self) -> pd.DataFrame:
        """A row for each layer whose input was rebuilt."""
        return typed("activations", self.rows["activations"])

    @cached_property
    def state(self) -> pd.DataFrame:
        """A row for each strategy and check of what one step leaves behind."""
        return typed("state", self.rows["state"])

    @property
    def verdicts(self) -> dict[str, str]:
        """For each strategy its verdict, or where there is none its status: excluded, oom or error."""
        return {row["strategy"]: row["verdict"] or row["status"] for row in self._compared.to_dict("records")}

    @property
    def reasons(self) -> dict[str, str]:
        """For each strategy without a verdict the reason."""
        return {row["strategy"]: row["reason"] for row in self._compared.to_dict("records") if row["reason"]}

    @property
    def faults(self) -> pd.DataFrame:
        """The rows of `state` that are faults, those of stored training apart."""
        return self.state[(self.state["outcome"] == "fault") & (self.state["strategy"] != "stored")]

    @property
    def ok(self) -> bool:
        """Whether every gradient measured is below the noise of SGD or better, under all that apply, and no fault."""
        verdicts = {verdict for verdict in self.verdicts.values() if verdict != "excluded"} | self._each
        return verdicts <= set(RIGHT) and self.faults.empty

    @property
    def failed(self) -> bool:
        """Whether a gradient measured is harmful or broken, a strategy raised, or one step left a fault."""
        verdicts = {*self.verdicts.values(), *self._each}
        return not {"harmful", "broken", "error", "oom"}.isdisjoint(verdicts) or not self.faults.empty

    @property
    def _each(self) -> set[str]:
        """The verdicts of all gradients measured, those of norms and biases too where they were asked for."""
        return set(self.gradients.loc[self.gradients["strategy"] != "stored", "verdict"])

    def worst_layers(self, count: int = 5, strategy: str | None = None) -> pd.DataFrame:
        """Return the worst gradients, of all strategies or of one, the worst first: by verdict, then by noise ratio."""
        rows = self.gradients[self.gradients["strategy"] != "stored"]
        if strategy is not None:
            rows = rows[rows["strategy"] == self._known(strategy)]
        rank = rows["verdict"].map(VERDICTS.index)
        ratio = rows["noise_ratio"].fillna(float("inf"))
        order = pd.DataFrame({"rank": rank, "ratio": ratio}).sort_values(
            ["rank", "ratio"], ascending=False, kind="stable"
        )
        columns = ["strategy", "parameter", "verdict", "noise_ratio", "rel_error", "cosine", "excess"]
        return rows.loc[order.index[:count], columns].reset_index(drop=True)

    @property
    def summary(self) -> pd.DataFrame:
        """A row for each strategy: verdict, the layer that decides it, and cost, of which stored training's is 1."""
        stored = self.cells[self.cells["strategy"] == "stored"].iloc[0]
        errors = self.gradients.set_index(["strategy", "parameter"])["rel_error"]
        rows = []
        for row in self._compared.to_dict("records"):
            faults = self.faults[self.faults["strategy"] == row["strategy"]]["check"]
            rows.append(
                {
                    "strategy": row["strategy"],
                    "verdict": self.verdicts[row["strategy"]],
                    "worst layer": row["worst_parameter"],
                    "noise ratio": row["worst_noise_ratio"],
                    "error": errors.get((row["strategy"], row["worst_parameter"])),
                    "kept memory": row["saved_bytes"] / stored["saved_bytes"] if stored["saved_bytes"] else None,
                    "time": row["time_ratio"],
                    "faults": ", ".join(faults) or "none" if row["verdict"] else "",
                }
            )
        return pd.DataFrame(rows)

    def report(self, path: str | Path) -> Path:
        """Write the report, one HTML file that opens offline, and return its path.

        Raises:
            EnvironmentError: it cannot be written there.
        """
        with tempfile.TemporaryDirectory(prefix="gradbench-") as folder:
            page = self.save(Path(folder) / "audit")
            write_atomic(Path(path), page.read_bytes())
        return Path(path)

    def save(self, folder: str | Path) -> Path:
        """Write the folder of a run, with tables, manifest and report, and return the report's path.

        `gradbench show` and `gradbench compare` read it.

        Raises:
            EnvironmentError: it cannot be written there.
        """
        write_folder(
            Path(folder),
            {name: rows for name, rows in self.rows.items() if name != "claims"},
            title=self.title,
            device=str(next(self.subject.model.parameters()).device),
            strategies=list(self.verdicts),
            seconds=self.seconds,
            command=self.command,
        )
        return build(Path(folder))

    def explain(self, strategy: str | None = None) -> Explanation:
        """Apply a strategy to growing parts of the model, and name the first whose inclusion spoils a gradient.

        Args:
            strategy: by default the one of the worst verdict.

        Raises:
            UsageError: the strategy was not audited or has no verdict, or there are fewer than three minibatches.
        """
        if strategy is None:
            found = {name: verdict for name, verdict in self.verdicts.items() if verdict in VERDICTS}
            strategy = max(found, key=lambda name: VERDICTS.index(found[name]), default=next(iter(self.verdicts)))
        one = self.subject.strategies[self._known(strategy)]
        if reason := self.reasons.get(strategy):
            raise UsageError(f"{strategy} cannot be explained: {reason}")
        with eager(self.subject.model), untouched(self.subject.model):
            return explain(self.subject.model, self.subject.loss_fn, self.subject.batches, one)

    def __repr__(self) -> str:
        table = self.summary.to_string(index=False, float_format="{:.2g}".format, na_rep="")
        return "\n".join([f"{self.title}, {self._footing}", table, *self.remarks])

    def _repr_html_(self) -> str:
        table = self.summary.to_html(index=False, float_format="{:.2g}".format, na_rep="", border=0)
        remarks = "".join(f"<li>{html.escape(line)}</li>" for line in self.remarks)
        lead = f"<p><b>{html.escape(self.title)}</b>, {html.escape(self._footing)}</p>"
        return f"{lead}{table}{f'<ul>{remarks}</ul>' if remarks else ''}"

    @property
    def _compared(self) -> pd.DataFrame:
        return self.cells[self.cells["strategy"] != "stored"]

    @property
    def _footing(self) -> str:
        said = f"{len(self.subject.batches)} minibatches, {self.seconds:.1f} s"
        if not self.subject.model.training:
            said += ", in evaluation mode"
        if self.floor:
            said += f"; two stored passes differ by {self.floor:.1e}"
        return said

    @property
    def remarks(self) -> list[str]:
        """What the table does not say, in sentences: faults, gradients that no verdict counts, reasons and notes."""
        faults = [f"{row['strategy']}: {row['check']}: {row['says']}" for row in self.faults.to_dict("records")]
        reasons = [f"{name}: {reason}" for name, reason in self.reasons.items()]
        hidden = [
            f"{name}: the gradient of {row['parameter']} is {row['verdict']}; the verdict is that of weight tensors"
            for name, verdict in self.verdicts.items()
            for row in self.worst_layers(1, name).to_dict("records")
            if verdict in VERDICTS and VERDICTS.index(row["verdict"]) > VERDICTS.index(verdict)
        ]
        notes = [f"{name}: {note}" for name, several in self.notes.items() for note in several]
        stored = self.gradients[self.gradients["strategy"] == "stored"]
        zero = int((stored["verdict"] == "undefined").sum())
        silent = f"the stored gradient of {zero} of {len(stored)} weight tensors is zero: of them nothing can be said"
        return [*faults, *hidden, *reasons, *notes, *([silent] if zero else [])]

    def _known(self, strategy: str) -> str:
        if strategy not in self.verdicts:
            near = did_you_mean(strategy, self.verdicts)
            raise UsageError(f"strategy {strategy!r} was not audited: there are {', '.join(self.verdicts)}{near}")
        return strategy
