"""Tests that need what this machine lacks are skipped, and say so."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch

from gradbench.measure.precision import use_plain_float32


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--device cuda`: what the tests make without naming a device is made there."""
    parser.addoption("--device", default="cpu", help="where tensors and modules are made: cpu, or cuda")


def pytest_configure(config: pytest.Config) -> None:
    """Make everything on the wanted device, in the arithmetic in which everything is measured."""
    if config.getoption("--device") != "cpu":
        torch.set_default_device(config.getoption("--device"))
        use_plain_float32()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests marked `gpu` and `browser` where there is none."""
    lacking = {}
    if not torch.cuda.is_available():
        lacking["gpu"] = pytest.mark.skip(reason="no CUDA device")
    if find_spec("playwright") is None:
        lacking["browser"] = pytest.mark.skip(reason="playwright is not installed")
    for item in items:
        for marker in item.iter_markers():
            if marker.name in lacking:
                item.add_marker(lacking[marker.name])
