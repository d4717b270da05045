"""Cells that behave as they are told, run in the runner's real processes.

The case's data set is an `.npz` file; `behaviour.json` beside it says what the cells of a depth do ("ok" if it says
nothing), and every execution leaves a line in `executions.txt` beside it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def run_cell(
    cell: Any, begun: Path, device: str, gate: Any, say: Callable[[str], None]
) -> dict[str, list[dict[str, Any]]]:
    folder = Path(cell.settings.data.path).parent
    with (folder / "executions.txt").open("a") as file:
        file.write(f"{cell.id}\n")
    with (folder / "devices.txt").open("a") as file:
        file.write(f"{device}\n")
    say("started")
    goes_on = begun.exists()
    begun.write_text("a phase")
    with (folder / "goes-on.txt").open("a") as file:
        file.write(f"{cell.settings.model.depth} {goes_on}\n")
    behaviours = json.loads((folder / "behaviour.json").read_text())
    behaviour = behaviours.get(str(cell.settings.model.depth), "ok")
    with gate.shared():
        rows = _rows(cell)
    if behaviour != "ok":
        _BEHAVIOURS[behaviour](rows)
    return rows


def probe(device: str, say: Callable[[str], None]) -> dict[str, Any]:
    return {"device": "cpu", "devices": ["cpu"], "device_name": "a test", "torch": "0", "gpus": {}, "variables": {}}


def gpu_probe(device: str, say: Callable[[str], None]) -> dict[str, Any]:
    return _with_gpus({"cuda": "a test GPU"})


def other_allocator_probe(device: str, say: Callable[[str], None]) -> dict[str, Any]:
    return gpu_probe(device, say) | {"variables": {"PYTORCH_CUDA_ALLOC_CONF": "roundup:[256:1,>:8]"}}


def two_gpus_probe(device: str, say: Callable[[str], None]) -> dict[str, Any]:
    return _with_gpus({"cuda:0": "a test GPU", "cuda:1": "a test GPU"})


def two_kinds_probe(device: str, say: Callable[[str], None]) -> dict[str, Any]:
    return _with_gpus({"cuda:0": "an old GPU", "cuda:1": "a new GPU"})


def _with_gpus(names: dict[str, str]) -> dict[str, Any]:
    gpus = {device: {"name": name} for device, name in names.items()}
    name = " and ".join(sorted(set(names.values())))
    found = {"device": "cuda", "devices": list(gpus), "device_name": name, "torch": "0", "gpus": gpus}
    return {**found, "variables": {"PYTORCH_CUDA_ALLOC_CONF": "a:b"}}


def fetch(settings: Any, say: Callable[[str], None]) -> None:
    """The file is there."""


def report(folder: Path) -> Path:
    path = folder / "report.html"
    path.write_text("<p>A report.</p>")
    return path


def answer(value: Any, say: Callable[[str], None]) -> Any:
    say(f"answering {value}")
    return value


def together(folder: str, count: int, name: str, place: str, say: Callable[[str], None]) -> str:
    """Wait until `count` of these run; what comes back is the place."""
    Path(folder, f"{name}.here").touch()
    end = time.monotonic() + 30
    while len(list(Path(folder).glob("*.here"))) < count and time.monotonic() < end:
        time.sleep(0.01)
    return place


def number_of_processes(say: Callable[[str], None]) -> int:
    say("hello")
    return os.getpid()


def user_error(say: Callable[[str], None]) -> None:
    from gradbench.errors import UsageError

    raise UsageError("data.path: there is no such file")


def big(size: int, say: Callable[[str], None]) -> str:
    for _ in range(2000):
        say("y" * 100)
    return "x" * size


def hold(gate: Any, kind: str, log: str, name: str, seconds: float, say: Callable[[str], None]) -> None:
    with Path(log).open("a", buffering=1) as file:
        file.write(f"asks {name}\n")
        with getattr(gate, kind)():
            file.write(f"in {name}\n")
            time.sleep(seconds)
            file.write(f"out {name}\n")


def _rows(cell: Any) -> dict[str, list[dict[str, Any]]]:
    numbers = random.Random(cell.id)
    names = ["stored", *cell.settings.measure.strategies]
    wall = time.perf_counter() % 1
    return {
        "cells": [
            {"strategy": name, "status": "ok", "reason": "", "min_snr_db": numbers.gauss(0, 50), "wall_seconds": wall}
            for name in names
        ],
        "gradients": [
            {"strategy": name, "step": 0, "parameter": f"{layer}.weight", "layer": layer, "rel_error": numbers.random()}
            for name in names
            for layer in range(cell.settings.model.depth)
        ],
        "activations": [{"strategy": "reconstruct", "step": 0, "layer": "0", "snr": float("inf")}],
        "training": [{"strategy": name, "step": 10, "loss": float("nan")} for name in names],
    }


def _diverge(rows: dict[str, list[dict[str, Any]]]) -> None:
    rows["cells"][-1].update(status="diverged", reason="the loss was not finite by step 3")


def _raise(rows: Any) -> None:
    raise ValueError("planted\nin two lines")


def _segfault(rows: Any) -> None:
    print("about to crash", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)


def _kill(rows: Any) -> None:
    print("allocating everything", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def _out_of_memory(rows: Any) -> None:
    import torch

    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB.")


def _host_out_of_memory(rows: Any) -> None:
    raise RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried")


def _exit(rows: Any) -> None:
    os._exit(7)


def _unknown_column(rows: dict[str, list[dict[str, Any]]]) -> None:
    rows["gradients"][0]["relative_error"] = 1.0


_BEHAVIOURS: dict[str, Callable[[Any], None]] = {
    "diverge": _diverge,
    "raise": _raise,
    "segfault": _segfault,
    "kill": _kill,
    "oom": _out_of_memory,
    "host-oom": _host_out_of_memory,
    "exit": _exit,
    "unknown-column": _unknown_column,
    "slow": lambda rows: time.sleep(0.4),
    "hang": lambda rows: time.sleep(3600),
}
