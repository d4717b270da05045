"""The claims that answer a case's question, in sentences, for a case that asks something else than about gradients."""

from __future__ import annotations

from typing import Any

from gradbench.analysis.claims import HELD, NOT_HELD, NOT_MEASURED, UNDECIDED, is_about_gradients
from gradbench.analysis.tables import Run
from gradbench.analysis.units import claims_of

__all__ = ["answer", "answering"]

#: How many claims are spelled out where all are held and the case names none.
_SPELLED = 2


def answer(run: Run) -> str:
    """Return the claims that the case's `answer` names, with their numbers, and how many claims are held in all.

    A case that names none and has no claim about weight gradients is answered by the claims that are not held, or else
    by the first two. Empty where the case is answered by the verdict on its weight gradients, as any other is.
    """
    rows = claims_of(run)
    if not rows or not (claims := answering(run)):
        return ""
    if _named(run):
        spelled = [row for claim in claims for row in rows if row["claim"] == claim["name"]]
    else:
        spelled = [row for row in rows if row["status"] == NOT_HELD]
        spelled = spelled or [row for row in rows if row["status"] == HELD][:_SPELLED]
    sentences = [_sentence(row) for row in spelled]
    if len(spelled) < len(rows):
        sentences.append(_tally([str(row["status"]) for row in rows]))
    return " ".join(sentences)


def answering(run: Run) -> list[dict[str, Any]]:
    """Return the claims, as the manifest has them, that answer the case's question; none where gradients do."""
    claims = (run.manifest.get("settings") or {}).get("claim") or []
    if named := _named(run):
        return [claim for name in named for claim in claims if claim["name"] == name]
    return [] if any(map(is_about_gradients, claims)) else list(claims)


def _named(run: Run) -> list[str]:
    """The names in the case's `answer`."""
    return (run.manifest.get("settings") or {}).get("answer") or []


def _sentence(claim: dict[str, Any]) -> str:
    """One claim: "Held: At slope 1 alpha is 0.97 or more (0.99 >= 0.97)."."""
    status, remarks = str(claim["status"]), []
    if claim["seeds"]:
        unit = claim["unit"]
        asked = unit.test(claim["test"])
        compared = f" {asked}" if status == HELD else f", asked for {asked.removeprefix('== ')}"
        remarks.append(f"{unit.amount(claim['value'])}{compared}")
    if status in (UNDECIDED, NOT_MEASURED) and claim["reason"]:
        remarks.append(str(claim["reason"]))
    remark = f" ({'; '.join(remarks)})" if remarks else ""
    return f"{status.capitalize()}: {claim['says']}{remark}."


def _tally(statuses: list[str]) -> str:
    """How many of the case's claims have which status."""
    held, lost, undecided, open_ = (statuses.count(s) for s in (HELD, NOT_HELD, UNDECIDED, NOT_MEASURED))
    if held == len(statuses):
        return f"All {held} claims of the case are held."
    if open_ == len(statuses):
        return f"None of the case's {open_} claims was measured."
    parts = [f"{held} {'is' if held == 1 else 'are'} held"]
    parts += [f"{lost} {'is' if lost == 1 else 'are'} not"] if lost else []
    parts += [f"{undecided} {'is' if undecided == 1 else 'are'} undecided"] if undecided else []
    parts += [f"{open_} {'was' if open_ == 1 else 'were'} not measured"] if open_ else []
    return f"Of the case's {len(statuses)} claims {', '.join(parts[:-1])} and {parts[-1]}."
