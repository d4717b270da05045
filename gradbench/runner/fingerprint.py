"""A hash of the source that decides a cell's numbers: gradbench's own, and that of the packages that add to it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import gradbench
from gradbench.data import DATASETS
from gradbench.models import MODELS
from gradbench.strategies import STRATEGIES

__all__ = ["source_fingerprint"]

#: The parts of gradbench that decide a cell's numbers.
_DECIDING = ("invertible", "models", "strategies", "measure", "data", "results.py")


def source_fingerprint() -> str:
    """Hash every Python file that a number may depend on; nothing is imported for it."""
    own = Path(gradbench.__file__).parent
    digest = hashlib.sha256()
    for root in (*(own / part for part in _DECIDING), *_extensions()):
        for path in sorted(root.rglob("*.py")) if root.is_dir() else [root]:
            digest.update(f"{path.relative_to(root.parent).as_posix()}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _extensions() -> Iterator[Path]:
    """The packages and modules outside gradbench that registered a strategy, a model or a data set."""
    entries = [entry for registry in (STRATEGIES, MODELS, DATASETS) for entry in registry.values()]
    for name in sorted({entry.target.partition(":")[0].partition(".")[0] for entry in entries} - {"gradbench"}):
        spec = find_spec(name)
        if spec is not None and spec.submodule_search_locations:
            yield from map(Path, spec.submodule_search_locations)
        elif spec is not None and spec.origin:
            yield Path(spec.origin)
