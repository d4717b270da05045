"""A hash of the source that a cell's numbers can depend on, so that a finished cell outlives changes of all other code.

That is what can be imported from where a cell is measured and from the parts that it names: its model, its data set and
its strategies. Imports are read, not run. Tables of names are not followed: what a cell takes of them is hashed. Where
it cannot be told what a module imports, all of gradbench counts, and all that packages add to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import gradbench
from gradbench.case.schema import Settings
from gradbench.data import DATASETS
from gradbench.data.published import PUBLISHED
from gradbench.models import MODELS
from gradbench.registry import Entry
from gradbench.runner.plan import strategies
from gradbench.runner.source import Source, read_source
from gradbench.strategies import STRATEGIES

__all__ = ["Sources"]

_MAKES_PARTS = "gradbench.registry"
_ROOTS = ("gradbench.measure.cell", _MAKES_PARTS)
_TABLES = {
    "gradbench.strategies.STRATEGIES",
    "gradbench.models.MODELS",
    "gradbench.data.DATASETS",
    "gradbench.data.published.PUBLISHED",
}
#: The modules that may look into a table, since they ask for no other names than the cell's.
_LOOK_UP = {
    "gradbench.measure.cell",
    "gradbench.models.build",
    "gradbench.data.arrays",
    "gradbench.data.downloaded",
}
#: Packages whose own file has names alone, and counts only where something else is imported from it.
_ONLY_NAMES = {"gradbench", "gradbench.strategies", "gradbench.models", "gradbench.data", "gradbench.faulty"}
#: What this package makes is the settings, which are in a cell's key.
_SETTINGS = "gradbench.case."

#: A part of a cell: what it is, the name with its argument, and the entry.
Part = tuple[str, str, Entry]


class Sources:
    """The source as it is now; each file is looked for once."""

    def __init__(self) -> None:
        self._files = cache(_files)
        self._hash = cache(self._hash_of)

    def of(self, settings: Settings) -> str:
        """Hash all source that the numbers of a cell with these settings may depend on; nothing is imported."""
        return self._hash(tuple(_parts(settings)))

    def modules(self, settings: Settings) -> list[str]:
        """Return the names of the modules that count for a cell with these settings, sorted."""
        return sorted(self._closure(tuple(_parts(settings))))

    def _hash_of(self, parts: tuple[Part, ...]) -> str:
        digest = hashlib.sha256()
        for line in (*_named(parts), *(f"{name} {one.digest}" for name, one in sorted(self._closure(parts).items()))):
            digest.update(f"{line}\n".encode())
        return digest.hexdigest()

    def _closure(self, parts: tuple[Part, ...]) -> dict[str, Source]:
        """Every module that can be imported, or all there are where that cannot be told."""
        targets = [_module(entry) for _, _, entry in parts]
        found = self._reached([*_ROOTS, *targets])
        if not any(_is_opaque(name, source) for name, source in found.items()):
            return found
        everyone = [_module(entry) for table in (STRATEGIES, MODELS, DATASETS) for entry in table.values()]
        own = [name for name in self._files("gradbench") if not _makes_settings(name)]
        return self._reached([*own, *targets, *everyone])

    def _reached(self, roots: Iterable[str]) -> dict[str, Source]:
        """The source of each root, a module, and of every module that may be imported from there."""
        found: dict[str, Source] = {}
        waiting = [name for root in roots for name in self._run_by(root, root)]
        while waiting:
            name = waiting.pop()
            if name in found:
                continue
            path = self._files(name.partition(".")[0])[name]
            package = name if path.name == "__init__.py" else name.rpartition(".")[0]
            found[name] = read_source(path.read_bytes(), package)
            waiting += [module for imported in found[name].imports for module in self._run_by(imported, name)]
        return found

    def _run_by(self, imported: str, importer: str) -> Iterator[str]:
        """The modules that run when `imported`, a module or a name in one, is imported."""
        top = imported.partition(".")[0]
        if imported in _TABLES or _makes_settings(imported) or top not in ("gradbench", importer.partition(".")[0]):
            return  # of other packages versions count, where they do
        files = self._files(top)
        if top != "gradbench":
            yield from files  # of a package that adds to gradbench every file counts
            return
        words = imported.split(".")
        modules = [name for end in range(len(words)) if (name := ".".join(words[: end + 1])) in files]
        yield from (name for name in modules if name not in _ONLY_NAMES or name == modules[-1])


def _parts(settings: Settings) -> Iterator[Part]:
    """What a cell names."""
    specs = [(MODELS, settings.model.name), (DATASETS, settings.data.name)]
    for table, spec in (*specs, *((STRATEGIES, name) for name in strategies(settings))):
        yield table.kind, spec, table[spec.partition(":")[0]]


def _named(parts: Iterable[Part]) -> Iterator[str]:
    """What the tables say of the names, as far as it decides numbers."""
    for kind, spec, entry in parts:
        argument = spec.partition(":")[2]
        yield f"{kind} {spec} {entry.target} {entry.read(argument)!r} {_version(entry)}"
        if kind == DATASETS.kind:
            yield repr(PUBLISHED.get(spec))


def _version(entry: Entry) -> str:
    """The installed version of the package whose code it runs, if it runs another's and that is installed."""
    try:
        return version(entry.distribution) if entry.distribution else ""
    except PackageNotFoundError:
        return "absent"


def _module(entry: Entry) -> str:
    return entry.target.partition(":")[0]


def _makes_settings(name: str) -> bool:
    return f"{name}.".startswith(_SETTINGS)


def _is_opaque(name: str, source: Source) -> bool:
    """Whether a module may import what cannot be told. What makes parts imports what the entries name."""
    looks_up = bool(source.imports & _TABLES) and name not in _LOOK_UP
    return looks_up or (source.opaque and name != _MAKES_PARTS)


def _files(top: str) -> dict[str, Path]:
    """Every module of a package, gradbench itself or one that adds to it, and its file."""
    if top == "gradbench":
        return _below(top, Path(gradbench.__file__).parent)
    spec = find_spec(top)
    if spec is not None and spec.submodule_search_locations:
        return {
            name: path for root in spec.submodule_search_locations for name, path in _below(top, Path(root)).items()
        }
    return {top: Path(spec.origin)} if spec is not None and spec.origin else {}


def _below(top: str, root: Path) -> dict[str, Path]:
    found = {}
    for path in sorted(root.rglob("*.py")):
        words = [top, *path.relative_to(root).with_suffix("").parts]
        found[".".join(words[:-1] if words[-1] == "__init__" else words)] = path
    return found
