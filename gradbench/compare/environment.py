"""What decides a run's numbers beside its settings and its source: torch, the device, and on a CPU the threads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["environment", "environment_key"]


def environment(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Name and value of everything that may move a number while settings and source stay the same.

    These are torch's version, the device's kind and name, on a GPU the versions of CUDA and cuDNN and the variables
    that set torch's allocator and NVIDIA's libraries, on a CPU the number of threads that share a sum, torch's numeric
    flags, and the major version of numpy, which draws the bootstrap's samples. What the manifest does not say is left
    out.

    Args:
        manifest: a run's `manifest.json`.
    """
    found: Mapping[str, Any] = manifest.get("environment") or {}
    kind = str(found.get("device") or "").partition(":")[0]
    deciding = {
        "torch": found.get("torch"),
        "device": kind,
        "device name": found.get("device_name"),
        "numpy": str(found.get("numpy") or "").partition(".")[0],
        **{f"flag {name}": value for name, value in sorted((found.get("flags") or {}).items())},
    }
    if kind == "cuda":
        deciding |= {"CUDA": found.get("cuda"), "cuDNN": found.get("cudnn"), **(found.get("variables") or {})}
    elif kind:
        deciding["threads"] = manifest.get("threads")
    return {name: str(value) for name, value in deciding.items() if value not in (None, "")}


def environment_key(manifest: Mapping[str, Any]) -> str:
    """12 hexadecimal digits that are the same where `environment` is: runs with one key are compared pair by pair."""
    text = json.dumps(environment(manifest), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
