"""A comparison as JSON: every attribute by its name; what is not a number is null, what is infinite a word."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from gradbench.compare.comparison import Comparison

__all__ = ["as_json"]

#: The version of this shape.
SCHEMA = 1


def as_json(comparison: Comparison) -> str:
    """The comparison as a JSON object, see docs/compare.md; manifests are left out but for the environment."""
    found = asdict(comparison)
    sides = {
        name: {"run": side.run, "folder": side.folder, "environment": side.manifest.get("environment")}
        for name, side in (("base", comparison.base), ("new", comparison.new))
    }
    document = {
        "schema": SCHEMA,
        "case": comparison.new.manifest.get("case"),
        "exit_code": comparison.exit_code,
        "sentence": comparison.sentence,
        **sides,
        **{name: found[name] for name in ("rules", "same_environment", "identical", "coverage", "findings")},
        "differences": found["differences"],
        "tests": comparison.tests.to_dict("records"),
    }
    return json.dumps(_plain(document), indent=2, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    """`value` with null for nan, "inf" or "-inf" for infinities, and numbers of numpy as Python's own."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value
