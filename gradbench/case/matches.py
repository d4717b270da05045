"""Claims, references and conditions that name what does not exist, or match nothing that any profile does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gradbench.case.keys import axis_problem
from gradbench.case.layers import MATRIX
from gradbench.case.mistakes import Mistake, listed, toml
from gradbench.case.plan import Plan
from gradbench.case.positions import Place
from gradbench.case.schema import Claim, Exclude, Override, Quantity, Reference
from gradbench.errors import did_you_mean
from gradbench.results import TABLES

__all__ = ["check_answer", "check_claims", "check_conditions", "check_references"]

#: What a training that diverged has none of.
_TRAINED = (("cells", "accuracy"), ("cells", "loss"))


def check_conditions(
    table: str, conditions: Mapping[int, Override | Exclude], plans: Sequence[Plan], faulty: frozenset[str]
) -> Iterator[Mistake]:
    """Check that every `when` of the list `table` names axes, and values that some profile has."""
    for index, condition in conditions.items():
        yield from _check_match(condition.when, (table, index, "when"), plans, faulty, table="")


def check_claims(
    claims: Mapping[int, Claim], profiles: Mapping[str, Sequence[Plan]], faulty: frozenset[str]
) -> Iterator[Mistake]:
    """Check that every claim names tables, columns and axes that exist, and rows that some profile has.

    Args:
        claims: by their places in the file.
        profiles: what each of them does; "" is the file by itself.
        faulty: settings with mistakes of their own.
    """
    plans = [one for plans in profiles.values() for one in plans]
    seen: set[str] = set()
    for index, claim in claims.items():
        if claim.name in seen:
            yield Mistake(("claim", index, "name"), f"{toml(claim.name)} names two claims: once is allowed")
        seen.add(claim.name)
        for name in ("value", "minus", "divided_by"):
            quantity: Quantity | None = getattr(claim, name)
            if quantity is not None:
                yield from _check_quantity(quantity, ("claim", index, name), plans, faulty)
                if claim.across is not None and quantity.model_fields_set & {"across", "slope_over"}:
                    alone = "takes each cell's own number: neither across nor slope_over is allowed in it"
                    yield Mistake(("claim", index, name), f"under across = {toml(claim.across)} a claim {alone}")
        if claim.across is not None and claim.minus is None and claim.divided_by is None:
            yield Mistake(("claim", index, "across"), "is for minus or divided_by: of one quantity it is value.across")
        elif claim.across is not None:
            asked = [profiles.get(name, profiles[""]) for name in claim.profiles] or list(profiles.values())
            yield from _check_pairs(claim, ("claim", index), asked)


def _check_pairs(claim: Claim, place: Place, profiles: Sequence[Sequence[Plan]]) -> Iterator[Mistake]:
    """Check that no cell can have two counterparts: where two `where` differ in an axis each has one value of it."""
    keys = dict.fromkeys([*(axis for plans in profiles for one in plans for axis in one.point), "seed"])
    others = {"minus": claim.minus, "divided_by": claim.divided_by}
    for name, other in ((name, other) for name, other in others.items() if other is not None):
        sides = (claim.value, other)
        for key in keys:
            differ = len({side.wanted(key) for side in sides}) > 1
            if differ and (key == "seed" or any(_several(key, side, plans) for side in sides for plans in profiles)):
                allowed = "allowed are the same values" + (", or one value each" if key != "seed" else "")
                yield Mistake(
                    (*place, name, "where"), f"{key} differs from value.where, so that cells have no pairs: {allowed}"
                )


def _several(axis: str, quantity: Quantity, plans: Sequence[Plan]) -> bool:
    """Whether the cells of a quantity have several values of an axis."""
    there = (one.point for one in plans if _matches(quantity.where, one, quantity.table))
    return len({point[axis] for point in there if axis in point}) > 1


def check_answer(answer: Sequence[str], claims: Mapping[int, Claim], faulty: frozenset[str]) -> Iterator[Mistake]:
    """Check that what answers the question are claims; nothing is said where a claim has mistakes of its own."""
    names = [claim.name for claim in claims.values()]
    for index, name in enumerate(answer if "claim" not in faulty else ()):
        if name not in names:
            known = f"allowed are {listed(names)}{did_you_mean(name, names)}"
            yield Mistake(("answer", index), f"no claim is named {toml(name)}: {known}")


def check_references(
    references: Mapping[int, Reference], plans: Sequence[Plan], faulty: frozenset[str]
) -> Iterator[Mistake]:
    """Check that every reference is a curve along an axis or a level, of a quantity that some profile has."""
    seen: set[str] = set()
    for index, reference in references.items():
        place: Place = ("reference", index)
        if reference.name in seen:
            yield Mistake((*place, "name"), f"{toml(reference.name)} names two references: once is allowed")
        seen.add(reference.name)
        yield from _check_quantity(reference.value, (*place, "value"), plans, faulty)
        if reference.value.slope_over is not None:
            yield Mistake((*place, "value", "slope_over"), "is for claims: a reference gives the values themselves")
        given = [getattr(reference, key) is not None for key in ("along", "points", "level")]
        if given not in ([True, True, False], [False, False, True]):
            yield Mistake(place, "must have along and points, which are a curve, or a level, and nothing of the other")
        elif reference.along is not None and reference.points is not None:
            if reference.along != "position":
                yield from _check_axis(reference.along, (*place, "along"), plans, faulty)
            elif reference.value.table != "activations":
                yield Mistake(
                    (*place, "along"),
                    f"position is a column of activations: of {reference.value.table} an axis is allowed",
                )
            places = [x for x, _ in reference.points]
            if len(places) < 2 or places != sorted(set(places)):
                yield Mistake(
                    (*place, "points"), f"must be two or more, rising along {reference.along}, got {toml(places)}"
                )


def _check_quantity(
    quantity: Quantity, place: Place, plans: Sequence[Plan], faulty: frozenset[str]
) -> Iterator[Mistake]:
    columns = {column.name: column for column in TABLES[quantity.table].columns}
    if quantity.column not in columns:
        near = did_you_mean(quantity.column, columns)
        yield Mistake(
            (*place, "column"),
            f"unknown column {toml(quantity.column)} of {quantity.table}: allowed are {listed(columns)}{near}",
        )
    elif columns[quantity.column].dtype == "string" and quantity.within != "share":
        yield Mistake(
            (*place, "within"),
            f'{quantity.column} holds words: allowed is "share", with equals, got {toml(quantity.within)}',
        )
    if (quantity.within == "share") != (quantity.equals is not None):
        yield Mistake((*place, "equals"), 'belongs to within = "share": both or neither are allowed')
    if quantity.diverged is not None and (quantity.table, quantity.column) not in _TRAINED:
        yield Mistake((*place, "diverged"), "belongs to accuracy and loss of cells, which training alone gives")
    if quantity.slope_over is not None:
        yield from _check_axis(quantity.slope_over, (*place, "slope_over"), plans, faulty)
    yield from _check_match(quantity.where, (*place, "where"), plans, faulty, quantity.table)


def _check_axis(axis: str, place: Place, plans: Sequence[Plan], faulty: frozenset[str]) -> Iterator[Mistake]:
    """Check that `axis` is one of the matrix's, and holds numbers."""
    axes = {axis for one in plans for axis in one.point}
    if _is_excused(axis, faulty):
        return
    if axis not in axes:
        near = did_you_mean(axis, axes)
        yield Mistake(place, f"unknown axis {toml(axis)}: allowed are {listed(sorted(axes))}{near}")
    elif any(isinstance(one.point[axis], (str, bool)) for one in plans if axis in one.point):
        yield Mistake(place, f"axis {toml(axis)} holds words: allowed are axes of numbers")


def _is_excused(axis: str, faulty: frozenset[str]) -> bool:
    """Whether `axis` may be missing only since a mistake was found in the matrix."""
    return f"{MATRIX}{axis}" in faulty or (axis_problem(axis) is None and any(key.startswith(MATRIX) for key in faulty))


def _check_match(
    match: Mapping[str, Any], place: Place, plans: Sequence[Plan], faulty: frozenset[str], table: str
) -> Iterator[Mistake]:
    """Check the keys and values of a `where` (of `table`) or a `when` (no table) against what all profiles do."""
    axes = list(dict.fromkeys(axis for one in plans for axis in one.point))
    columns = ["cell", *(column.name for column in TABLES[table].columns)] if table else []
    known = [*axes, "seed", *columns]
    mistaken = False
    for key, wanted in match.items():
        words = [one.words(key, table) for one in plans]
        if key not in known:
            mistaken = True
            if not _is_excused(key, faulty):
                kind = "axis or column" if table else "axis"
                yield Mistake((*place, key), f"unknown {kind}: allowed are {listed(known)}{did_you_mean(key, known)}")
        elif not _settled(key, faulty):
            mistaken = True
        elif any(some is not None for some in words):
            existing = list(dict.fromkeys(word for some in words for word in some or ()))
            absent = [value for value in _as_list(wanted) if value not in existing]
            mistaken |= bool(absent)
            for value in absent:
                near = did_you_mean(value, map(str, existing)) if isinstance(value, str) else ""
                yield Mistake(
                    (*place, key), f"no profile has {toml(value)}: allowed are {listed(map(toml, existing))}{near}"
                )
    if not mistaken and not any(_matches(match, one, table) for one in plans):
        yield Mistake(place, "matches no cell of any profile: each value is there, but nowhere all of them together")


def _matches(match: Mapping[str, Any], one: Plan, table: str) -> bool:
    for key, wanted in match.items():
        words = one.words(key, table)
        if words is not None and not any(value in words for value in _as_list(wanted)):
            return False
    return True


def _settled(key: str, faulty: frozenset[str]) -> bool:
    """Whether no mistake was found in what decides the values of `key`."""
    decisive = {
        "seed": ["seeds"],
        "strategy": ["measure.strategies", "train.strategies"],
        "step": ["measure.at"],
    }.get(key, [f"{MATRIX}{key}"])
    return not faulty.intersection(decisive)


def _as_list(wanted: Any) -> list[Any]:
    return wanted if isinstance(wanted, list) else [wanted]
