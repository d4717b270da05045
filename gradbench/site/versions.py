"""Which runs of a case differ in PyTorch's version alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gradbench.site.shelf import Entry

__all__ = ["Versions", "by_version", "version_key"]


@dataclass(frozen=True)
class Versions:
    """Runs of one profile on one device, the newest of each version of PyTorch.

    Attributes:
        where: profile and device in words.
        runs: by version, the oldest version first; at least two.
    """

    where: str
    runs: Mapping[str, Entry]


def by_version(runs: Sequence[Entry]) -> list[Versions]:
    """The groups of `runs` of one case (the oldest first) that have several versions of PyTorch."""
    groups: dict[tuple[str, ...], dict[str, Entry]] = {}
    for entry in runs:
        environment = entry.manifest.get("environment") or {}
        if environment.get("torch"):
            device = str(environment.get("device_name") or environment.get("device", ""))
            threads = entry.manifest.get("threads") if environment.get("device") == "cpu" else None
            place = f"{device}, {threads} thread{'s' * (threads != 1)}" if threads else device
            key = (entry.series.profile or "", *entry.series.sets, place)
            groups.setdefault(key, {})[str(environment["torch"])] = entry
    return [
        Versions(", ".join(filter(None, key)), {version: found[version] for version in sorted(found, key=version_key)})
        for key, found in groups.items()
        if len(found) > 1
    ]


def version_key(version: str) -> tuple[tuple[int, ...], str]:
    """Sorts versions by their numbers.

    >>> sorted(["2.11.0+cu130", "2.9.1"], key=version_key)
    ['2.9.1', '2.11.0+cu130']
    """
    numbers = re.findall(r"\d+", version.partition("+")[0])
    return tuple(int(number) for number in numbers), version
