"""The streams of random numbers that a training step may draw from: torch's, Python's and NumPy's."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

__all__ = ["differing", "fixed", "generators", "restore", "seed_all", "streams"]


def generators(device: torch.device) -> dict[str, torch.Tensor]:
    """Return where torch's own streams stand, by their names: the host's, and the device's if it has one."""
    found = {"torch's CPU generator": torch.get_rng_state()}
    if device.type == "cuda":
        found["torch's CUDA generator"] = torch.cuda.get_rng_state(device)
    return found


def streams(device: torch.device) -> dict[str, Any]:
    """Return where every stream stands, by its name: torch's, Python's and NumPy's."""
    return {
        **generators(device),
        "Python's random": random.getstate(),
        "NumPy's random": np.random.get_state(),  # noqa: NPY002 the global stream, which models draw from
    }


def restore(states: dict[str, Any], device: torch.device) -> None:
    """Let streams stand where `streams(device)`, or `generators(device)`, found them."""
    torch.set_rng_state(states["torch's CPU generator"])
    if "Python's random" in states:
        random.setstate(states["Python's random"])
        np.random.set_state(states["NumPy's random"])  # noqa: NPY002
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["torch's CUDA generator"], device)


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return the names of the streams that stand elsewhere."""
    return [name for name, state in one.items() if not _same(state, other[name])]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, tuple):
        return all(map(_same, one, other))
    return bool(np.array_equal(one, other)) if isinstance(one, np.ndarray) else bool(one == other)


def seed_all(seed: int, device: torch.device) -> None:
    """Begin every stream anew."""
    # Not torch.manual_seed, which formats a traceback for every device that was not used yet.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        torch.cuda.default_generators[index].manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002


@contextmanager
def fixed(device: torch.device, seed: int | None = None) -> Iterator[None]:
    """Leave every stream as it was, and inside begin with `seed`, or where they stand."""
    before = streams(device)
    if seed is not None:
        seed_all(seed, device)
    try:
        yield
    finally:
        restore(before, device)
