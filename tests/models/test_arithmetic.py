"""The bytes a pixel against the sources' printed ones, and against a count of what passes through the real layers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gradbench.case.schema import Model
from gradbench.invertible import InvertibleBatchNorm, storing
from gradbench.models import MODELS
from gradbench.models.arithmetic import rebuilt_bytes, stored_bytes
from gradbench.models.build import build
from gradbench.models.published import PUBLISHED
from tests.models.networks import images, network


def published(name: str) -> nn.Module:
    with torch.device("meta"):
        return build(Model(name=name), classes=10, image_size=32)


@pytest.mark.parametrize("name", MODELS)
def test_the_rule_gives_what_the_sources_print(name: str) -> None:
    model = published(name)
    if name == "resnet":
        assert (stored_bytes(model), rebuilt_bytes(model)) == (1928 + 8, None)
    else:
        assert rebuilt_bytes(model) == float(PUBLISHED[name].bytes_per_pixel)


def test_the_published_weights_are_those_of_the_networks() -> None:
    for name, row in PUBLISHED.items():
        size = sum(parameter.numel() for parameter in published(name).parameters()) * 4e-6
        last_digit = 10.0 ** -len(row.weights.partition(".")[2])
        assert abs(size - float(row.weights)) < last_digit, name


def counted_values(model: nn.Module) -> float:
    """Return the values a pixel that enter convolutions and norms of the blocks, shortcuts aside."""
    inputs = []

    def count(module: nn.Module, x: tuple[Tensor, ...], y: object) -> None:
        inputs.append(sum(tensor.numel() for tensor in x))

    for name, module in model.named_modules():
        inside = ".block" in name and "shortcut" not in name
        if inside and isinstance(module, nn.Conv2d | InvertibleBatchNorm):
            module.register_forward_hook(count)
    (x,) = images(2, 16, torch.float32)
    with storing(model):
        model(x)
    return sum(inputs) / (2 * 16 * 16)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("pooling", [("channel", "batch"), ("batch", "max", "channel"), ()])
def test_stored_values_are_those_that_enter_convolutions_and_norms(name: str, pooling: tuple[str, ...]) -> None:
    model = network(16, name=name, depth=7, branch_layers=3, pooling=pooling)
    gradient = model.stages[-1].values
    # The rule gives a convolution behind a max pooling of a residual network the width of its output.
    pairs = list(zip(model.stages, model.stages[1:], strict=False))
    wider = sum(b.values - a.values / 4 for a, b in pairs if b.pooling == "max") if name == "resnet" else 0
    assert stored_bytes(model) / 4 - gradient - wider == pytest.approx(counted_values(model))


def test_a_residual_network_counted_as_it_is_needs_1880_bytes() -> None:
    model = build(Model(name="resnet"), classes=10, image_size=16)
    assert 4 * (counted_values(model) + 4) == 1880
    assert "1880" in " ".join(PUBLISHED["resnet"].differences)


def test_more_depth_costs_stored_training_alone() -> None:
    for name in ("revnet", "irevnet", "layerwise", "hybrid"):
        shallow, deep = (network(name=name, depth=depth, width=4, pooling=("batch",)) for depth in (3, 30))
        assert rebuilt_bytes(deep) == rebuilt_bytes(shallow)
        assert stored_bytes(deep) > 8 * stored_bytes(shallow)


def test_a_network_of_a_stem_alone_counts_nothing() -> None:
    model = network(name="layerwise", depth=1)
    assert (stored_bytes(model), rebuilt_bytes(model)) == (0, 0)


def test_by_hand() -> None:
    """RevNet of 8 channels, one max pooling: 8 at full size, 16 at a quarter."""
    model = network(name="revnet", depth=2, pooling=("max",))
    first = 8 + 8 + 8 + 8  # state, gradient, two norms' inputs of 4 channels each, the pooling's input
    second = 4 + 4 + 12 + 8
    assert rebuilt_bytes(model) == 4 * max(first, second)
    assert stored_bytes(model) == 4 * (2 * 8 + 4 * 4 + 4)
