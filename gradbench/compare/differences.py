"""What differs between two manifests and may move numbers: environment, settings of the case, source."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gradbench.case.keys import DEFAULTS, flatten, setting_of
from gradbench.compare.comparison import Difference
from gradbench.compare.environment import environment

__all__ = ["deciding_settings", "differences", "has_anywhere"]

#: Settings that say what is measured, or where data lie, and move no number of what is measured in both runs.
_NOT_DECIDING = {
    "data.path",
    "measure.activations",
    "measure.cost",
    "measure.cost_repeats",
    "measure.parameters",
    "measure.strategies",
    "train.strategies",
}
#: Of the manifest's environment: listed, but the environments may still be the same.
_BESIDE = ("python", "numpy", "pandas", "torchvision", "system", "driver")


def differences(base: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Difference, ...]:
    """What differs between two manifests, what decides numbers first."""
    found = []
    for read in (environment, deciding_settings, _scope, _source):
        old, now = read(base), read(new)
        found += [
            Difference(name, old.get(name, "absent"), now.get(name, "absent"))
            for name in dict.fromkeys((*old, *now))
            if old.get(name) != now.get(name)
        ]
    return tuple(dict.fromkeys(found))


def deciding_settings(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The settings of a run's case that decide numbers, those on the matrix's axes apart.

    A setting that the run's gradbench did not have yet has its default. The strategies are not among them: each is
    measured from the same weights and images, whatever others are.
    """
    case = manifest.get("settings") or {}
    varied = {_setting(axis) for axis in manifest.get("axes") or ()}
    sections = {key: case.get(key) or {} for key in ("model", "data", "train", "measure")}
    settings = {**DEFAULTS, **dict(flatten(sections))}
    ignored = _ignored(case)
    found = {key: _text(settings[key]) for key in settings if key not in ignored | varied and "." in key}
    for number, override in enumerate(_overrides(case), 1):
        found[f"override {number}"] = _text(override)
    return found


def has_anywhere(case: Mapping[str, Any], key: str) -> bool:
    """Whether any cell of a case, as the manifest has it, may have a setting that is not off."""
    overrides = [override["set"] for override in case.get("override") or ()]
    given = [value for place in (case, *overrides) for name, value in flatten(place) if name == key]
    varied = [value for axis, values in (case.get("matrix") or {}).items() if _setting(axis) == key for value in values]
    return any([*given, *varied])


def _ignored(case: Mapping[str, Any]) -> set[str]:
    """What moves no number. With a memory limit, measuring time and memory does: it leaves cuDNN its convolutions."""
    return _NOT_DECIDING - {"measure.cost"} if has_anywhere(case, "train.memory_limit") else _NOT_DECIDING


def _overrides(case: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The case's overrides, less what decides no number."""
    ignored = _ignored(case)
    for override in case.get("override") or ():
        deciding = {key: value for key, value in flatten(override["set"]) if key not in ignored}
        if deciding:
            yield {"when": override["when"], "set": deciding}


def _setting(axis: str) -> str:
    try:
        return setting_of(axis)
    except KeyError:  # an axis that a later gradbench no longer has
        return axis


def _scope(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Which cells there are: profile, axes, seeds."""
    axes = {f"matrix.{axis}": _text(values) for axis, values in (manifest.get("axes") or {}).items()}
    seeds = {"seeds": str(len(manifest["seeds"]))} if "seeds" in manifest else {}
    return {"profile": str(manifest.get("profile")), **axes, **seeds}


def _source(manifest: Mapping[str, Any]) -> dict[str, str]:
    """What is judged, the source; then the versions that usually move nothing."""
    git = manifest.get("git") or {}
    commit = str(git.get("commit") or "")[:12]
    found = {
        "gradbench": manifest.get("gradbench"),
        "commit": f"{commit} with changes" if commit and git.get("dirty") else commit,
        "tables' schema": manifest.get("schema"),
    }
    machine = manifest.get("environment") or {}
    found |= {name: machine.get(name) for name in _BESIDE}
    return {name: str(value) for name, value in found.items() if value not in (None, "")}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
