"""What the machine is, found out without importing torch here."""

from __future__ import annotations

import platform

import numpy as np
import pytest
import torch

from gradbench.errors import EnvironmentError, UsageError
from gradbench.runner.pool import Task, ask
from gradbench.runner.probe import _VARIABLES, describe, devices_of


def _probe(device: str) -> dict[str, object]:
    found: dict[str, object] = ask(Task("the probe", "gradbench.runner.probe:probe", (device,)), lambda: False)
    return found


def test_it_describes_this_machine() -> None:
    found = _probe("cpu")
    assert found["device"] == "cpu"
    assert found["device_name"] == found["cpu"] != ""
    assert (found["torch"], found["numpy"]) == (torch.__version__, np.__version__)
    assert found["python"] == platform.python_version()
    assert (found["devices"], found["gpus"], found["driver"]) == (["cpu"], {}, None)
    assert found["flags"] == {
        "matmul_allow_tf32": False,
        "cudnn_allow_tf32": False,
        "cudnn_benchmark": False,
        "cudnn_deterministic": True,
        "deterministic_algorithms": False,
    }


def test_it_names_the_variables_that_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    assert describe("cpu")["variables"] == {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}


def test_a_device_of_another_name_is_refused() -> None:
    with pytest.raises(UsageError, match="--device tpu: allowed are auto, cpu, cuda, cuda:N"):
        _probe("tpu")


def test_a_gpu_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(EnvironmentError, match=r"--device cuda:99: torch .* finds .*; --device cpu works"):
        _probe("cuda:99")


@pytest.mark.parametrize(
    ("device", "count", "devices"),
    [
        ("cpu", 0, ["cpu"]),
        ("cpu", 4, ["cpu"]),
        ("cuda", 1, ["cuda"]),
        ("cuda", 3, ["cuda:0", "cuda:1", "cuda:2"]),
        ("cuda:2", 3, ["cuda:2"]),
    ],
)
def test_cuda_stands_for_every_gpu_and_a_number_for_one(device: str, count: int, devices: list[str]) -> None:
    assert devices_of(device, count) == devices


@pytest.mark.gpu
def test_every_gpu_is_named() -> None:
    found = _probe("auto")
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    assert (found["device"], found["device_name"]) == ("cuda", " and ".join(sorted(set(names))))
    assert found["devices"] == list(found["gpus"])
    assert [gpu["name"] for gpu in found["gpus"].values()] == names
