"""The size of a network and the sources' count of its step, against counts by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gradbench.case.schema import Model
from gradbench.measure.size import size
from gradbench.models.build import build


@pytest.mark.parametrize(("strategy", "a_pixel"), [("stored", 2944), ("reconstruct", 352), ("checkpoint", None)])
def test_the_published_hybrid_network_is_counted_as_printed(strategy: str, a_pixel: float | None) -> None:
    with torch.device("meta"):
        network = build(Model(name="hybrid"), classes=10, image_size=32)
    found = size(network, strategy, 512 * 32 * 32)
    assert (found["parameter_count"], found["weight_bytes"]) == (3_701_984, 4 * 3_701_984)
    assert found["counted_bytes_per_pixel"] == a_pixel
    assert found["counted_bytes"] == (None if a_pixel is None else 4 * 3_701_984 + a_pixel * 512 * 1024)


def test_of_any_other_network_there_is_no_count() -> None:
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.Linear(5 * 36, 7, bias=False)).double()
    found = size(network, "stored", 64)
    assert (found["parameter_count"], found["weight_bytes"]) == (
        3 * 5 * 9 + 5 + 5 * 36 * 7,
        8 * (3 * 5 * 9 + 5 + 5 * 36 * 7),
    )
    assert (found["counted_bytes_per_pixel"], found["counted_bytes"]) == (None, None)


def test_without_pixels_there_is_no_sum() -> None:
    network = build(Model(name="layerwise", depth=3, width=4, pooling=()), classes=10, image_size=8)
    found = size(network, "reconstruct", None)
    assert found["counted_bytes_per_pixel"] == 4 * 4 * 2.5
    assert found["counted_bytes"] is None
