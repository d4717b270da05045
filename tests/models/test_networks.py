"""The networks: their plans, sizes and parts; what they promise of gradients is in tests/strategies."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from gradbench.case.schema import Model
from gradbench.errors import UsageError
from gradbench.invertible import AdditiveCoupling, Chain, InvertibleBatchNorm, LayerError, layers, watch_rebuilt
from gradbench.models import MODELS
from gradbench.models.build import build
from gradbench.models.head import Head
from gradbench.models.layers import LayerFactory
from gradbench.models.resnet import ResidualBlock
from gradbench.models.stages import plan_stages, stage_depths
from tests.invertible.oracle import worst_error
from tests.models.networks import images, loss, network

REVERSIBLE = [name for name in MODELS if name != "resnet"]


def test_the_layerwise_network_loses_its_gradients_with_depth_and_the_hybrid_keeps_them() -> None:
    def error(name: str, depth: int) -> float:
        torch.manual_seed(depth)
        model = network(name=name, depth=depth, pooling=("channel",), negative_slope=0.1)
        return worst_error(model, images(16, dtype=torch.float32), loss)

    assert error("layerwise", 9) > 0.1
    assert error("layerwise", 9) > 1000 * error("layerwise", 3)
    assert error("hybrid", 9) < 0.01


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


def test_a_plan_says_how_wide_and_how_small_each_stage_is() -> None:
    kinds = ("max", "channel", "batch", "max")
    plan = plan_stages(40, kinds, [1, 0, 2, 3, 4], [1, 2, 2, 2, 2], growth=(2, 3.2))
    assert [stage.channels for stage in plan] == [40, 80, 320, 320, 1024]
    assert [stage.halvings for stage in plan] == [0, 1, 2, 3, 4]
    assert [stage.copies for stage in plan] == [1, 1, 1, 4, 4]
    assert [stage.values for stage in plan] == [40, 20, 20, 20, 16]
    assert [stage.pooling for stage in plan] == [None, *kinds]
    assert [stage.channels for stage in plan_stages(12, ("max",) * 3, [1] * 4, [1] * 4, (1.35,))] == [12, 16, 20, 28]


def children(model: nn.Module) -> list[tuple[str, str]]:
    return [(name, type(child).__name__) for name, child in model.named_children()]


def test_depth_counts_layers_with_the_stem_and_blocks_without() -> None:
    settings = {"width": 8, "depth": 4, "pooling": ("channel", "batch")}
    assert children(network(name="layerwise", **settings).chain) == [
        ("stem", "Chain"),
        ("pooling0", "ChannelPooling"),
        ("block0", "Chain"),
        ("block1", "Chain"),
        ("pooling1", "BatchPooling"),
        ("block2", "Chain"),
    ]
    for name in ("hybrid", "irevnet"):
        assert children(network(name=name, **settings).chain) == [
            ("stem", "Chain"),
            ("block0", "AdditiveCoupling"),
            ("pooling0", "ChannelPooling"),
            ("block1", "AdditiveCoupling"),
            ("block2", "AdditiveCoupling"),
            ("pooling1", "BatchPooling"),
            ("block3", "AdditiveCoupling"),
        ]


def test_max_pooling_stands_between_chains() -> None:
    model = network(name="revnet", depth=5, pooling=("max", "channel", "max"))
    assert [name for name, _ in model.named_children()] == [
        "stem", "split", "chain0", "transition0", "chain1", "transition1", "chain2", "head",
    ]  # fmt: skip
    assert [name for name, _ in model.chain1.named_children()] == ["stem", "block1", "block2", "pooling1", "block3"]
    blocks = {info.name.split(".")[1]: info.block for info in layers(model)}
    assert [blocks[f"block{index}"] for index in range(5)] == list(range(5))
    stems = [info.block for info in layers(model) if info.name.endswith("stem.norm")]
    assert stems == [-1, 0, 3]


def weights(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def published(name: str) -> nn.Module:
    with torch.device("meta"):
        return build(Model(name=name), classes=10, image_size=32)


@pytest.mark.parametrize(
    ("name", "channels", "blocks", "count"),
    [
        # Hascoet et al., Table 1 and equation 34: 12.5, 12.7, 171, 29.6 and 14.8 MB in float32.
        ("resnet", [32, 64, 128, 256], [2, 2, 2, 2], 3_141_664),
        ("revnet", [40, 80, 256, 320], [1, 2, 2, 1], 3_183_768),
        ("irevnet", [32, 128, 512, 2048], [1, 2, 2, 1], 42_801_632),
        ("layerwise", [32, 128, 512, 512], [2, 4, 3, 3], 7_395_360),
        ("hybrid", [32, 128, 512, 512], [1, 2, 2, 1], 3_701_984),
    ],
)
def test_the_published_networks_are_the_defaults(name: str, channels: list[int], blocks: list[int], count: int) -> None:
    model = published(name)
    assert [stage.channels for stage in model.stages] == channels
    assert [stage.blocks for stage in model.stages] == blocks
    assert weights(model) == count


def test_sizes_follow_the_formulas() -> None:
    """Stem 27 w; norm 2 c; split convolution 4.5 c^2; convolution 9 c c'; head classes * c."""
    settings = {"width": 8, "classes": 7, "pooling": ("channel", "batch")}
    fixed = 27 * 8 + 2 * 8 + 7 * 32
    assert weights(network(name="layerwise", depth=3, **settings)) == fixed + 2 * (4.5 * 32**2 + 2 * 32)
    hybrid, revnet = (
        lambda c, layers: 2 * layers * (4.5 * (c / 2) ** 2 + 2 * c / 2),
        lambda c, layers: 2 * layers * (9 * (c / 2) ** 2 + 2 * c / 2),
    )
    for name, block in {"hybrid": hybrid, "irevnet": revnet}.items():
        count = weights(network(name=name, depth=3, branch_layers=3, **settings))
        assert count == fixed + block(8, 1) + 2 * block(32, 3)
    count = weights(network(name="revnet", depth=2, width=8, classes=7, pooling=("max",)))
    assert count == 29 * 8 + revnet(8, 1) + 9 * 8 * 16 + 2 * 16 + revnet(16, 2) + 7 * 16
    block = ResidualBlock(8, 12, 3, network(name="irevnet", depth=1).layers)
    assert weights(block) == 2 * 9 * 8 * 12 + 2 * 9 * 12**2 + 4 * 2 * 12


@pytest.mark.parametrize("name", MODELS)
def test_larger_images_fit(name: str) -> None:
    with torch.device("meta"), torch.no_grad():
        model = build(Model(name=name), classes=10, image_size=240)
        assert model(torch.empty(2, 3, 240, 240)).shape == (2, 10)


@pytest.mark.parametrize("name", MODELS)
def test_one_block_is_the_shallowest_network(name: str) -> None:
    model = network(name=name, depth=1)
    assert sum(stage.blocks for stage in model.stages) == (name != "layerwise")
    assert worst_error(model.double(), images(), loss) < 1e-9


def test_the_head_is_an_eighth_of_a_linear_map_of_the_largest_values() -> None:
    head, x = Head(6, 3, copies=4), torch.randn(8, 6, 5, 4)
    peaks = x.view(4, 2, 6, 20).amax((0, 3))
    assert torch.allclose(head(*x.split([2, 4], 1)), 0.125 * peaks @ head.linear.weight.T)


@pytest.mark.parametrize("name", MODELS)
def test_scores_belong_to_their_images_with_batch_pooling(name: str) -> None:
    model = network(name=name, depth=3, pooling=("batch", "batch")).eval()
    (x,) = images(5, dtype=torch.float32)
    one_by_one = torch.cat([model(image[None]) for image in x])
    assert torch.allclose(model(x), one_by_one, atol=1e-5)


def test_a_residual_block_is_the_activated_sum_of_its_parts() -> None:
    block = network(name="resnet", depth=2, pooling=("max",)).blocks.block1
    x = torch.randn(3, 8, 4, 4)
    y = block.eval()(x)
    total = block.shortcut(x) + block.residual(x)
    assert torch.equal(y, torch.where(total > 0, total, total * 0.2))
    assert [type(layer).__name__ for layer in block.residual][-1] == "InvertibleBatchNorm"


@pytest.mark.parametrize(("name", "count"), [("layerwise", 2 + 3 * 5 + 3), ("hybrid", 2 + 4 + 5 * 13 + 3)])
def test_watching_reports_every_layer(name: str, count: int) -> None:
    model = network(name=name, depth=6)
    listed = layers(model)
    seen: set[nn.Module] = set()
    with watch_rebuilt(lambda module, x, y: seen.add(module)):
        model(*images(dtype=torch.float32)).sum().backward()
    assert seen == {info.module for info in listed}
    assert [info.block for info in listed if info.name.startswith("chain.stem")] == [-1, -1]
    assert max(info.block for info in listed) == (4 if name == "layerwise" else 5)
    assert len(listed) == count + (3 if name == "hybrid" else 0)


@pytest.mark.parametrize("name", REVERSIBLE)
def test_settings_reach_the_layers(name: str) -> None:
    settings = {"negative_slope": 0.3, "eps_i": 0.5, "norm_inverse": "renormalize", "branch_layers": 3}
    model = network(name=name, depth=2, pooling=("channel",), **settings)
    norms = [module for module in model.modules() if isinstance(module, InvertibleBatchNorm)]
    assert len(norms) == 1 + (1 if name == "layerwise" else 2 * (1 + 3))
    assert {(norm.eps_i, norm.norm_inverse) for norm in norms} == {(0.5, "renormalize")}
    block = model.chain.get_submodule("block0" if name == "layerwise" else "block0.f")
    assert block.activation.negative_slope == 0.3


def test_the_branches_of_a_hybrid_block_are_invertible_and_those_of_a_revnet_block_are_not() -> None:
    for name, kind in (("hybrid", Chain), ("irevnet", nn.Sequential)):
        block = network(name=name, depth=1).chain.block0
        assert isinstance(block, AdditiveCoupling)
        assert type(block.f) is type(block.g) is kind


def test_the_same_seed_gives_the_same_network() -> None:
    def values() -> list[Tensor]:
        torch.manual_seed(3)
        return list(build(Model(width=8), 10, 32).state_dict().values())

    assert all(torch.equal(a, b) for a, b in zip(values(), values(), strict=True))


@pytest.mark.parametrize("name", MODELS)
def test_images_that_the_poolings_cannot_divide_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"data.image_size 30 .* must be a multiple of 8, for example 32"):
        build(Model(name=name), 10, 30)


@pytest.mark.parametrize(
    ("name", "pooling", "layer"),
    [
        ("irevnet", ("channel",), "pooling0"),
        ("layerwise", ("batch",), "pooling0"),
        ("hybrid", ("channel",), "pooling0"),
    ],
)
def test_other_images_than_it_was_built_for_name_the_pooling(name: str, pooling: tuple[str], layer: str) -> None:
    model = network(name=name, depth=2, pooling=pooling)
    with pytest.raises(LayerError, match=f"layer '{layer}': pooling halves the image, so that 7x7 pixels"):
        model(*images(2, 7, torch.float32))


def test_a_width_that_cannot_be_split_is_refused() -> None:
    with pytest.raises(ValidationError, match="multiple of 4"):
        Model(width=6)
    with pytest.raises(ValueError, match="channels 3 is not allowed: a split convolution needs an even number"):
        LayerFactory(Model()).invertible(3)
