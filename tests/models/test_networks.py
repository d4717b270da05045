"""The layer-wise and the hybrid network: their sizes, their parts, and gradients equal to those of stored training."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradbench.case.schema import Model
from gradbench.errors import UsageError
from gradbench.invertible import (
    AdditiveCoupling,
    BatchPooling,
    Chain,
    ChannelPooling,
    InvertibleBatchNorm,
    layers,
    storing,
    watch_rebuilt,
)
from gradbench.models.build import build
from gradbench.models.head import Head
from gradbench.models.hybrid import Hybrid, hybrid_block
from gradbench.models.layerwise import Layerwise
from gradbench.models.network import LayerFactory
from gradbench.models.revnet import revnet_chain
from gradbench.models.stages import stage_depths
from tests.invertible.oracle import same_as_stored, state, worst_error


def network(image_size: int = 8, **settings: object) -> nn.Module:
    model = build(Model(**({"width": 8} | settings)), classes=5, image_size=image_size)  # type: ignore[arg-type]
    for module in model.modules():
        if isinstance(module, InvertibleBatchNorm):
            nn.init.normal_(module.weight, 1, 0.2)
            nn.init.normal_(module.bias, 0, 0.2)
    return model


def images(count: int = 6, size: int = 8, dtype: torch.dtype = torch.float64) -> tuple[Tensor]:
    return (torch.randn(count, 3, size, size, dtype=dtype),)


def loss(scores: Tensor) -> Tensor:
    return F.cross_entropy(scores, torch.arange(len(scores)) % scores.shape[1])


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "layerwise", "depth": 1},
        {"name": "layerwise", "depth": 4, "negative_slope": 0.2},
        {"name": "layerwise", "depth": 4, "pooling": ("batch", "channel")},
        {"name": "hybrid", "depth": 1},
        {"name": "hybrid", "depth": 4, "pooling": ("channel", "batch")},
        {"name": "hybrid", "depth": 4, "pooling": (), "branch_layers": 2},
        {"name": "hybrid", "depth": 32, "width": 4, "pooling": ("channel",)},
    ],
    ids=str,
)
def test_float64_gradients_equal_stored_ones(settings: dict[str, object]) -> None:
    assert worst_error(network(**settings).double(), images(), loss) < 1e-9


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_revnet_blocks_equal_stored_ones(dropout: float) -> None:
    assert same_as_stored(revnet_chain(8, 4, dropout).double(), state(3, 4, 6, 6))


@pytest.mark.parametrize("name", ["layerwise", "hybrid"])
def test_eval_gradients_equal_stored_ones_and_scores_are_the_same_bit_for_bit(name: str) -> None:
    model = network(name=name, depth=3)
    x = images(dtype=torch.float32)
    for _ in range(3):
        model(*x)
    model.eval()
    with storing(model):
        stored = model(*x)
    assert torch.equal(model(*x), stored)
    assert worst_error(model.double(), images(), loss) < 1e-9


def test_the_layerwise_network_loses_its_gradients_with_depth_and_the_hybrid_keeps_them() -> None:
    def error(name: str, depth: int) -> float:
        torch.manual_seed(depth)
        model = network(name=name, depth=depth, pooling=("channel",), negative_slope=0.1)
        return worst_error(model, images(16, dtype=torch.float32), loss)

    assert error("layerwise", 9) > 0.1
    assert error("layerwise", 9) > 1000 * error("layerwise", 3)
    assert error("hybrid", 9) < 0.01


@pytest.mark.parametrize("name", ["layerwise", "hybrid"])
def test_autocast_runs_the_whole_network_in_bfloat16(name: str) -> None:
    torch.manual_seed(2)
    model, (x,) = network(name=name, depth=3), images(32, dtype=torch.float32)

    def gradients(stored: bool) -> dict[str, Tensor]:
        model.zero_grad()
        with storing(model) if stored else nullcontext(), torch.autocast("cpu", torch.bfloat16):
            value = loss(model(x).float())
        value.backward()
        return {name: parameter.grad for name, parameter in model.named_parameters()}

    stored = gradients(stored=True)
    for key, gradient in gradients(stored=False).items():
        # 8 bits of mantissa, amplified through the layers: the direction is right, no more.
        assert F.cosine_similarity(gradient.flatten(), stored[key].flatten(), dim=0) > 0.8, key


def test_stages_are_filled_as_in_the_source() -> None:
    assert [stage_depths(depth, 3) for depth in (1, 2, 3, 4, 5, 6, 7, 12)] == [
        [1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 2, 1], [1, 2, 2], [2, 2, 2], [2, 3, 2], [4, 4, 4],
    ]  # fmt: skip
    for depth in range(3, 30):
        assert stage_depths(depth, 3) == [depth // 3, (depth + 2) // 3, (depth + 1) // 3]
        for stages in range(1, 5):
            depths = stage_depths(depth, stages)
            assert sum(depths) == depth
            assert max(depths) - min(depths) <= 1
            assert depths[0] >= 1


def children(model: Layerwise | Hybrid) -> list[tuple[str, str]]:
    return [(name, type(child).__name__) for name, child in model.chain.named_children()]


def test_depth_counts_layers_with_the_stem_and_blocks_without() -> None:
    assert children(Layerwise(4, 8)) == [
        ("stem", "Chain"),
        ("pooling0", "ChannelPooling"),
        ("block0", "Chain"),
        ("block1", "Chain"),
        ("pooling1", "ChannelPooling"),
        ("block2", "Chain"),
    ]
    assert children(Hybrid(4, 8, pooling=("channel", "batch"))) == [
        ("stem", "Chain"),
        ("block0", "AdditiveCoupling"),
        ("pooling0", "ChannelPooling"),
        ("block1", "AdditiveCoupling"),
        ("block2", "AdditiveCoupling"),
        ("pooling1", "BatchPooling"),
        ("block3", "AdditiveCoupling"),
    ]


def weights(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_sizes_follow_the_formulas() -> None:
    # Stem 27 w; norm 2 c; split convolution 4.5 c^2; head classes * c.
    model = Layerwise(3, 8, pooling=("channel", "batch"), classes=7)
    assert weights(model) == 27 * 8 + 2 * 8 + 2 * (4.5 * 32**2 + 2 * 32) + 7 * 32
    block = hybrid_block(32, 2, LayerFactory(0.2, 0.1))
    assert weights(block) == 2 * 2 * (4.5 * 16**2 + 2 * 16)


def test_the_published_hybrid_has_its_published_size() -> None:
    """Hascoet et al., Table 1: 32-128-512-512 channels, 14.8 MB in float32."""
    layers = LayerFactory(0.2, 0.1)
    plan = [(32, [1], None), (128, [2, 2], "c"), (512, [2, 2], "c"), (512, [2], "b")]
    parts: list[nn.Module] = [layers.stem(32)]
    for channels, blocks, pooling in plan:
        if pooling:
            parts.append(ChannelPooling() if pooling == "c" else BatchPooling())
        parts.extend(hybrid_block(channels, branch_layers, layers) for branch_layers in blocks)
    network = nn.ModuleList([nn.Conv2d(3, 32, 3, padding=1, bias=False), Chain(*parts), Head(512, 10, copies=4)])
    assert weights(network) == 3_701_984


def test_the_head_is_an_eighth_of_a_linear_map_of_the_largest_values() -> None:
    head, x = Head(6, 3, copies=4), torch.randn(8, 6, 5, 4)
    peaks = x.view(4, 2, 6, 20).amax((0, 3))
    assert torch.allclose(head(*x.split([2, 4], 1)), 0.125 * peaks @ head.linear.weight.T)


def test_scores_belong_to_their_images_with_batch_pooling() -> None:
    model = network(name="hybrid", depth=3, pooling=("batch", "batch")).eval()
    (x,) = images(5, dtype=torch.float32)
    one_by_one = torch.cat([model(image[None]) for image in x])
    assert torch.allclose(model(x), one_by_one, atol=1e-5)


@pytest.mark.parametrize(("name", "count"), [("layerwise", 2 + 3 * 5 + 2), ("hybrid", 2 + 6 * 7 + 2)])
def test_watching_reports_every_layer(name: str, count: int) -> None:
    model = network(name=name, depth=6)
    listed = layers(model)
    seen: set[nn.Module] = set()
    with watch_rebuilt(lambda module, x, y: seen.add(module)):
        model(*images(dtype=torch.float32)).sum().backward()
    assert seen == {info.module for info in listed}
    assert len(listed) == count
    assert [info.block for info in listed if info.name.startswith("chain.stem")] == [-1, -1]
    assert max(info.block for info in listed) == (4 if name == "layerwise" else 5)


def test_settings_reach_the_layers() -> None:
    model = network(name="hybrid", depth=2, negative_slope=0.3, eps_i=0.5, norm_inverse="renormalize", branch_layers=3)
    norms = [module for module in model.modules() if isinstance(module, InvertibleBatchNorm)]
    assert len(norms) == 1 + 2 * 2 * 3
    assert {(norm.eps_i, norm.norm_inverse) for norm in norms} == {(0.5, "renormalize")}
    block = model.chain.block0
    assert isinstance(block, AdditiveCoupling)
    assert block.f.activation0.negative_slope == 0.3


def test_the_same_seed_gives_the_same_network() -> None:
    def values() -> list[Tensor]:
        torch.manual_seed(3)
        return list(build(Model(width=8), 10, 32).state_dict().values())

    assert all(torch.equal(a, b) for a, b in zip(values(), values(), strict=True))


def test_images_that_the_poolings_cannot_divide_are_refused() -> None:
    with pytest.raises(UsageError, match=r"data.image_size 30 .* must be a multiple of 4, for example 32"):
        network(30, name="hybrid")
