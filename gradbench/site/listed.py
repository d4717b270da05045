"""A run and a comparison as lists show them: what was found, and whether somebody should look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gradbench.analysis.claims import HELD, NOT_HELD, NOT_MEASURED, UNDECIDED
from gradbench.analysis.summary import Summary
from gradbench.compare.comparison import Comparison
from gradbench.report.words import ABSENT
from gradbench.site.shelf import Entry, Pair

__all__ = ["Listed", "Outcome", "Standing", "outcome_of", "when", "where"]

#: What becomes of a cell that comes to its end.
_FINISHED = ("ok", "diverged", "excluded")


@dataclass(frozen=True)
class Standing:
    """Whether somebody should look: a tone ("good", "look" or "bad") and the words for it."""

    tone: str
    words: str

    @property
    def symbol(self) -> str:
        """The tone for whoever sees no colour."""
        return {"good": "✓", "look": "!", "bad": "✗"}[self.tone]

    @property
    def rank(self) -> int:
        """Sorts what is bad to the front."""
        return ("bad", "look", "good").index(self.tone)


@dataclass(frozen=True)
class Outcome:
    """A comparison in short.

    Attributes:
        pair: the two runs.
        sentence: what came of it.
        identical: whether every firm number is the same bit for bit.
        missing: how much of the base the new run lacks.
        findings: how many there are of each kind.
    """

    pair: Pair
    sentence: str
    identical: bool
    missing: int
    findings: Mapping[str, int]

    @property
    def standing(self) -> Standing:
        """The comparison in two words."""
        regressions, improvements = self.findings.get("regression", 0), self.findings.get("improvement", 0)
        if regressions:
            return Standing("bad", f"{regressions} regression{'s' * (regressions > 1)}")
        if self.missing:
            return Standing("look", f"{self.missing} missing")
        if self.identical:
            return Standing("good", "identical")
        return Standing("good", f"{improvements} better" if improvements else "no regression")


@dataclass(frozen=True)
class Listed:
    """A run in a list.

    Attributes:
        entry: the run.
        summary: what it says.
        outcomes: the comparisons in which it is the new one.
        baseline: why it was accepted as a baseline, if it counts as one.
    """

    entry: Entry
    summary: Summary
    outcomes: tuple[Outcome, ...] = ()
    baseline: str = ""

    @property
    def title(self) -> str:
        """The case's title."""
        manifest = self.entry.manifest
        return str(manifest.get("title") or manifest.get("case") or self.entry.case)

    @property
    def question(self) -> str:
        """The case's question."""
        return str(self.entry.manifest.get("question", ""))

    @property
    def when(self) -> str:
        """When it began."""
        return when(self.entry.manifest)

    @property
    def where(self) -> str:
        """On what it ran."""
        return where(self.entry.manifest)

    @property
    def held(self) -> str:
        """How many of the claims that were decided are held: "12 of 14", or a dash."""
        decided = self._claims(HELD) + self._claims(NOT_HELD)
        return f"{self._claims(HELD)} of {decided}" if decided else ABSENT

    @property
    def claims(self) -> str:
        """The same in words, with those that are open."""
        parts = [f"{self.held} claims held"] if self.held != ABSENT else []
        for status in (UNDECIDED, NOT_MEASURED):
            if count := self._claims(status):
                parts.append(f"{count} {status}" if parts else f"{count} claim{'s' * (count != 1)} {status}")
        return ", ".join(parts) or "no claims"

    @property
    def judged(self) -> Outcome | None:
        """The comparison that decides whether it regressed: with the baseline, else with the run before.

        A run that was accepted as a baseline itself is right by that.
        """
        found = {why: outcome for outcome in self.outcomes for why in outcome.pair.why}
        return found.get("baseline") or (None if self.baseline else found.get("previous"))

    @property
    def standing(self) -> Standing:
        """A regression is bad; a cell that is lost or was before, and a claim that fails, want a look."""
        if self.judged is not None and self.judged.standing.tone != "good":
            return self.judged.standing
        unfinished = any(status not in _FINISHED for status in self.summary.counts)
        if unfinished or self.entry.manifest.get("state", "complete") != "complete":
            return Standing("look", "incomplete")
        missed = self._claims(NOT_HELD)
        if missed:
            return Standing("look", f"{missed} claim{'s' * (missed > 1)} not held")
        return Standing("good", "fine")

    def _claims(self, status: str) -> int:
        return sum(claim["status"] == status for claim in self.summary.claims)


def outcome_of(pair: Pair, comparison: Comparison) -> Outcome:
    """The comparison in short."""
    kinds = [finding.kind for finding in comparison.findings]
    return Outcome(
        pair,
        comparison.sentence,
        comparison.identical,
        len(comparison.coverage.missing),
        {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
    )


def when(manifest: Mapping[str, Any]) -> str:
    """When a run began, to the minute: "2026-11-22 03:31 UTC"; empty where the manifest does not say."""
    started = str(manifest.get("started", ""))
    return f"{started[:10]} {started[11:16]} UTC" if len(started) >= 16 else started


def where(manifest: Mapping[str, Any]) -> str:
    """On what a run ran: device, torch's version and, on a CPU, threads."""
    environment = manifest.get("environment") or {}
    threads = manifest.get("threads") if environment.get("device") == "cpu" else None
    words = [
        environment.get("device_name"),
        f"torch {environment['torch']}" if environment.get("torch") else None,
        f"{threads} thread{'s' * (threads != 1)}" if threads else None,
    ]
    return ", ".join(str(word) for word in words if word)
