"""Names that a case file may use, known without importing torch.

Each kind of part (strategies, models, data sets) keeps one table in its package's `__init__`: a name, where the code
is, one sentence, and for `name:K` which K are allowed: some values, a range of numbers, or both. Third parties add
theirs through the entry point groups `gradbench.strategies`, `gradbench.models` and `gradbench.data`, each entry point
naming an `Entry`.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gradbench.errors import UsageError, did_you_mean

__all__ = ["Entry", "Numbers", "Registry", "shortest"]


def shortest(number: float) -> str:
    """Return the shortest way to write a number, by which a name is known.

    >>> shortest(4), shortest(0.5), shortest(1e-5), shortest(2e20)
    ('4', '0.5', '1e-5', '2e20')
    """
    if number == int(number) and abs(number) < 1e16:
        return str(int(number))
    digits, exponent, power = repr(float(number)).partition("e")
    return f"{digits}{exponent}{int(power)}" if exponent else digits


@dataclass(frozen=True)
class Numbers:
    """The numbers from `low` to `high`, which None leaves open; whole ones, unless `whole` is False."""

    low: float
    high: float | None = None
    whole: bool = True

    def __str__(self) -> str:
        bounds = f"of at least {self.low:g}" if self.high is None else f"from {self.low:g} to {self.high:g}"
        return f"a {'whole ' if self.whole else ''}number {bounds}"

    def read(self, text: str) -> int | float | None:
        """Return the number, or None: `text` is none of these, or not the shortest way to write it."""
        try:
            number = int(text) if self.whole else float(text)
        except ValueError:
            return None
        inside = self.low <= number < math.inf and (self.high is None or number <= self.high)
        return number if inside and text == shortest(number) else None


@dataclass(frozen=True)
class Entry:
    """One name: `target` is "package.module:attribute", imported when it is first needed.

    Attributes:
        target: where the code is.
        summary: one sentence for lists and documents.
        source: the paper, or an empty string.
        argument: what stands after the colon in `name:K`, for example "bits"; empty when the name takes none.
        allowed: values that the argument may take.
        numbers: a range of numbers that it may be instead.
        optional: whether the name may also stand alone.
        distribution: whose code it runs, as `pip install` calls it; empty for gradbench's own.
        defaults: of a model, the settings of its source, for those that a case leaves out; of a data set, the settings
            that it alone allows.
    """

    target: str
    summary: str
    source: str = ""
    argument: str = ""
    allowed: tuple[int | str, ...] = ()
    numbers: Numbers | None = None
    optional: bool = False
    distribution: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def choices(self) -> tuple[int | str, ...]:
        """What the argument may be, the range of numbers in words."""
        return self.allowed if self.numbers is None else (*self.allowed, str(self.numbers))

    def spelled(self, name: str) -> str:
        """Return how the name is written: `name`, `name:K`, or `name[:K]` where the argument is optional."""
        return name + ("[:K]" if self.optional else ":K") if self.argument else name

    def read(self, text: str) -> int | float | str | None:
        """Return the argument that `text` is, or None when it is not allowed."""
        named = {str(value): value for value in self.allowed}
        return named[text] if text in named else self.numbers.read(text) if self.numbers else None

    def load(self) -> Any:
        """Import and return the target."""
        module, _, attribute = self.target.partition(":")
        return getattr(importlib.import_module(module), attribute)


class Registry(Mapping[str, Entry]):
    """The entries of one kind: the built-in ones and those of installed packages.

    Args:
        kind: what an entry is, in words.
        group: the entry point group of those that packages add.
        built_in: the entries that come with gradbench.
        unlisted: more of them, which a case may name and no list shows.
    """

    def __init__(
        self, kind: str, group: str, built_in: dict[str, Entry], unlisted: Mapping[str, Entry] | None = None
    ) -> None:
        self.kind = kind
        self._unlisted = unlisted or {}
        self._group = group
        self._entries = dict(built_in)
        self._discovered = False

    def _all(self) -> dict[str, Entry]:
        if not self._discovered:
            from importlib.metadata import entry_points  # slow to import, and needed for foreign names only

            self._discovered = True
            for point in entry_points(group=self._group):
                self._entries.setdefault(point.name, point.load())
        return self._entries

    def __getitem__(self, name: str) -> Entry:
        if name in self._unlisted:
            return self._unlisted[name]
        return self._entries[name] if name in self._entries else self._all()[name]

    def __iter__(self) -> Any:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def check(self, spec: str) -> str | None:
        """Return what is wrong with `spec` ("name" or "name:K") in one sentence, or None."""
        name, colon, argument = spec.partition(":")
        if name not in self:
            return f"unknown {self.kind} {name!r}: allowed are {', '.join(self)}{did_you_mean(name, self)}"
        entry = self[name]
        if colon and not entry.argument:
            return f"{self.kind} {name!r} takes no argument, got {spec!r}"
        if not entry.argument or (entry.optional and not colon):
            return None
        allowed = [name] if entry.optional else []
        allowed += [f"{name}:{value}" for value in entry.allowed]
        allowed += [f"{name}:K where K is {entry.numbers}"] if entry.numbers else []
        if not colon:
            return f"{self.kind} {name!r} needs its {entry.argument}: allowed are {', '.join(allowed)}"
        if entry.read(argument) is None:
            refused = f"{entry.argument} {argument!r} is not allowed"
            return f"{self.kind} {spec!r}: {refused}; allowed are {', '.join(allowed)}"
        return None

    def create(self, spec: str, **options: Any) -> Any:
        """Import what `spec` names and call it: `approximate:4` becomes `Approximate(4)`.

        Raises:
            UsageError: the name or its argument is not allowed.
        """
        problem = self.check(spec)
        if problem:
            raise UsageError(problem)
        name, colon, argument = spec.partition(":")
        entry = self[name]
        return entry.load()(*([entry.read(argument)] if colon else []), **options)
