"""What this machine is, found out in a process of its own so that the one that asks need not import torch."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gradbench.data import prepare
from gradbench.errors import EnvironmentError, UsageError

__all__ = ["describe", "devices_of", "fetch_data", "probe"]

#: Variables by which torch and NVIDIA's libraries decide what fits into memory and how they round.
_VARIABLES = (
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "NVIDIA_TF32_OVERRIDE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "CUBLAS_WORKSPACE_CONFIG",
)


def probe(device: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Describe the machine and resolve `device` ("auto", "cpu", "cuda", "cuda:N"); "cuda" is every GPU that there is.

    Raises:
        UsageError: another device.
        EnvironmentError: no torch, or a GPU was asked for and there is none.
    """
    asked = re.fullmatch(r"auto|cpu|cuda(:(?P<index>\d+))?", device)
    if asked is None:
        raise UsageError(f"--device {device}: allowed are auto, cpu, cuda, cuda:N")
    say("importing torch")
    try:
        import torch
    except (ImportError, OSError) as error:
        raise EnvironmentError(f"torch cannot be imported ({error}); install it as https://pytorch.org says") from error
    from gradbench.measure.precision import use_plain_float32

    use_plain_float32()
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = int(asked["index"] or 0)
    if device.startswith("cuda") and index >= count:
        found = f"{count} GPU{'s' * (count > 1)}, the first of them cuda:0" if count else "no GPU here"
        raise EnvironmentError(f"--device {device}: torch {torch.__version__} finds {found}; --device cpu works")
    device = "cpu" if not count else "cuda" if device == "auto" else device
    return describe(device, devices_of(device, count))


def devices_of(device: str, count: int) -> list[str]:
    """Return the devices that cells may run on: with `count` GPUs, "cuda" is all of them.

    >>> devices_of("cuda", 2), devices_of("cuda:1", 2), devices_of("cuda", 1)
    (['cuda:0', 'cuda:1'], ['cuda:1'], ['cuda'])
    """
    return [f"cuda:{index}" for index in range(count)] if device == "cuda" and count > 1 else [device]


def describe(device: str, devices: Sequence[str] = ()) -> dict[str, Any]:
    """Describe the machine, its packages, the switches of torch as they stand and the variables that set others.

    Args:
        device: "cpu", "cuda" or "cuda:N".
        devices: those that it stands for, if they are several.
    """
    import torch

    devices = list(devices) or [device]
    gpus = {one: _gpu(torch, int(one.partition(":")[2] or 0)) for one in devices if one.startswith("cuda")}
    cpu = _cpu()
    return {
        "device": device,
        "devices": devices,
        "device_name": " and ".join(sorted({gpu["name"] for gpu in gpus.values()})) or cpu,
        "gpus": gpus,
        "driver": _driver() if gpus else None,
        "cpu": cpu,
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": _version("torchvision"),
        "numpy": _version("numpy"),
        "pandas": _version("pandas"),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if torch.backends.cudnn.is_available() else None,
        "flags": {
            "matmul_allow_tf32": torch.backends.cuda.matmul.allow_tf32,
            "cudnn_allow_tf32": torch.backends.cudnn.allow_tf32,
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
            "cudnn_deterministic": torch.backends.cudnn.deterministic,
            "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        },
        "variables": {name: os.environ[name] for name in _VARIABLES if os.environ.get(name)},
    }


def fetch_data(settings: Any, say: Callable[[str], None]) -> None:
    """See to it that the data set is on this machine (`gradbench.data.prepare`)."""
    say(f"fetching {settings.name}")
    prepare(settings)


def _gpu(torch: Any, index: int) -> dict[str, Any]:
    properties = torch.cuda.get_device_properties(index)
    return {
        "name": properties.name,
        "memory_bytes": properties.total_memory,
        "capability": f"{properties.major}.{properties.minor}",
    }


def _driver() -> str | None:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.splitlines()[0].strip() if answer.stdout else None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
