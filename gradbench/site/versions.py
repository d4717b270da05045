"""Which runs of a case differ in PyTorch's version alone, and their errors side by side."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from gradbench.site.listed import Listed

__all__ = ["Versions", "by_version", "version_key"]


@dataclass(frozen=True)
class Versions:
    """Runs of one profile on one device, the newest of each version of PyTorch.

    Attributes:
        where: profile and device in words.
        runs: by version, the oldest version first; at least two.
    """

    where: str
    runs: Mapping[str, Listed]

    def settings(self) -> pd.DataFrame:
        """`by_setting`'s rows of all runs, with the column `torch`."""
        return pd.concat(
            [row.summary.by_setting.assign(torch=version) for version, row in self.runs.items()], ignore_index=True
        )


def by_version(runs: Sequence[Listed]) -> list[Versions]:
    """The groups of `runs` of one case (the oldest first) that have several versions of PyTorch."""
    groups: dict[tuple[str, ...], dict[str, Listed]] = {}
    for row in runs:
        manifest, series = row.entry.manifest, row.entry.series
        environment = manifest.get("environment") or {}
        if environment.get("torch"):
            key = (series.profile or "", *series.sets, str(environment.get("device_name", "")))
            groups.setdefault(key, {})[str(environment["torch"])] = row
    return [
        Versions(
            ", ".join(word for word in key if word), dict(sorted(found.items(), key=lambda one: version_key(one[0])))
        )
        for key, found in groups.items()
        if len(found) > 1
    ]


def version_key(version: str) -> tuple[tuple[int, ...], str]:
    """Sorts versions by their numbers.

    >>> sorted(["2.11.0+cu130", "2.9.1"], key=version_key)
    ['2.9.1', '2.11.0+cu130']
    """
    numbers = re.match(r"[\d.]*", version)
    return tuple(int(part) for part in (numbers[0] if numbers else "").split(".") if part), version
