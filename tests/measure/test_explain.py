"""`explain` names the layer that spoils a gradient, wherever it is, and says when it is not one layer alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradbench.errors import UsageError
from gradbench.invertible import Chain, InvertibleLeakyReLU, SplitChannels, SplitConvolution, rebuilding, storing
from gradbench.measure.explain import explain
from gradbench.strategies.base import Strategy
from gradbench.strategies.checkpoint import Checkpoint
from gradbench.strategies.inplace_abn import InplaceABN
from gradbench.strategies.reconstruct import Reconstruct

IMAGES, CLASSES = 6, 3


class Block(nn.Module):
    """A block whose layers run in another order than they are registered in."""

    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Conv2d(4, 4, 1)
        self.first = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))


def network() -> nn.Module:
    torch.manual_seed(0)
    blocks = nn.ModuleDict({f"block{index}": Block() for index in range(3)})

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, CLASSES)
            self.blocks = blocks
            self.unused = nn.Linear(2, 2)
            self.stem = nn.Conv2d(3, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            for block in self.blocks.values():
                x = block(x)
            return self.head(x.mean((2, 3)))

    return Network()


def batches(count: int = 4) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randn(IMAGES, 3, 4, 4, generator=generator), torch.randint(CLASSES, (IMAGES,), generator=generator))
        for _ in range(count)
    ]


class Scaling(Strategy):
    """Stored training in which the gradient that leaves each of some layers is multiplied on its way to the input."""

    name = "scaling"

    def __init__(self, layers: list[nn.Module], factor: float) -> None:
        self.layers, self.factor = layers, factor

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        inside = set(model.modules())
        hooks = [
            layer.register_full_backward_hook(lambda layer, dx, dy: tuple(self.factor * d for d in dx))
            for layer in self.layers
            if layer in inside
        ]
        yield
        for hook in hooks:
            hook.remove()


@pytest.mark.parametrize("seed", range(3))
def test_a_broken_layer_is_named_wherever_it_is(seed: int) -> None:
    model = network()
    leaves = [
        name
        for name, part in model.named_modules()
        if not list(part.children()) and name not in ("unused", "stem")  # nothing lies behind the stem's input
    ]
    broken = random.Random(seed).choice(leaves)
    found = explain(model, F.cross_entropy, batches(), Scaling([model.get_submodule(broken)], -3.0))
    assert found.guilty == broken
    assert found.alone
    assert found.whole.wrong
    assert found.sentence.startswith(f"{broken} is to blame: with scaling on it alone the gradient of ")


def test_the_parts_go_from_the_output_to_the_input_and_then_into_the_guilty_block() -> None:
    model = network()
    found = explain(model, F.cross_entropy, batches(), Scaling([model.blocks["block1"].first[0]], -3.0))
    assert [part.name for part in found.parts] == [
        *("head", "blocks.block2", "blocks.block1", "blocks.block0", "stem"),
        *("blocks.block1.second", "blocks.block1.first.1", "blocks.block1.first.0"),
    ]
    assert [part.inside for part in found.parts] == [""] * 5 + ["blocks.block1"] * 3
    assert [part.name for part in found.parts if part.alone.wrong] == ["blocks.block1", "blocks.block1.first.0"]
    included = [part.name for part in found.parts if part.included.wrong]
    assert included == ["blocks.block1", "blocks.block0", "stem", "blocks.block1.first.0"]


def test_errors_that_add_up_are_told_from_a_broken_layer() -> None:
    torch.manual_seed(2)
    layers = [nn.Linear(48, 48, bias=False) for _ in range(6)]
    model = nn.Sequential(nn.Flatten(), *layers, nn.Linear(48, CLASSES))
    found = explain(model, F.cross_entropy, batches(8), Scaling(layers[1:], 1.12))
    assert not found.alone
    assert not any(part.alone.wrong for part in found.parts)
    assert found.guilty in ("3", "4")
    assert found.sentence.startswith(f"Errors add up to {found.guilty}: scaling spoils nothing on it alone, and with ")
    # In front of k scaled layers the gradient is 1.12^k of what it should be; the first layer has none before it.
    for part in found.parts:
        if part.name in "23456":
            assert part.included.rel_error == pytest.approx(1.12 ** (7 - int(part.name)) - 1, rel=1e-4)


def test_what_is_included_is_what_the_strategy_does_to_these_layers() -> None:
    torch.manual_seed(1)
    chain = Chain(*(layer for _ in range(5) for layer in (SplitConvolution(4), InvertibleLeakyReLU(0.02))))
    model = nn.Sequential(nn.Conv2d(3, 4, 1), SplitChannels(2), _Several(chain), nn.Flatten(), nn.Linear(64, CLASSES))
    data = batches()
    found = explain(model, F.cross_entropy, data, Reconstruct(), right=("exact",))
    parts = [part for part in found.parts if part.name.startswith("2.chain.")]
    assert len(parts) > 3
    for part in parts[1:]:
        position = int(part.name.rpartition(".")[2])
        with storing(model):
            with ExitStack() as contexts:
                for layer in list(chain)[position:]:
                    contexts.enter_context(rebuilding(layer))
                rebuilt = _gradient(model, data, part.included.parameter)
            stored = _gradient(model, data, part.included.parameter)
        error = sum((h - g).square().sum() for h, g in zip(rebuilt, stored, strict=True))
        signal = sum(g.square().sum() for g in stored)
        assert part.included.rel_error == pytest.approx(float((error / signal).sqrt()), rel=1e-6, abs=1e-12)


class _Several(nn.Module):
    """A chain on groups, as one tensor."""

    def __init__(self, chain: Chain) -> None:
        super().__init__()
        self.chain = chain

    def forward(self, x: tuple[Tensor, ...]) -> Tensor:
        return torch.cat(self.chain(*x), 1)


def _gradient(model: nn.Module, data: list[tuple[Tensor, Tensor]], parameter: str) -> list[Tensor]:
    gradients = []
    for x, y in data:
        model.zero_grad()
        F.cross_entropy(model(x), y).backward()
        gradients.append(model.get_parameter(parameter).grad.double())
    return gradients


@pytest.mark.parametrize("strategy", [Checkpoint(), Scaling([], 2.0)])
def test_nothing_is_to_blame_where_every_gradient_is_exact(strategy: Strategy) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, CLASSES))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    found = explain(model, F.cross_entropy, batches(), strategy)
    assert found.guilty == ""
    assert {part.alone.verdict for part in found.parts} == {part.included.verdict for part in found.parts} == {"exact"}
    assert found.sentence.startswith(f"No layer is to blame: with {strategy.name} on the whole model the gradient of ")
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_block_that_draws_its_mask_anew_is_named_down_to_the_dropout() -> None:
    class Careless(Checkpoint):
        def on_parts(self) -> Strategy:
            return _Careless()

    class _Careless(Strategy):
        name = "careless"

        @contextmanager
        def applied_to(self, model: nn.Module) -> Iterator[None]:
            forward = model.forward
            again = torch.utils.checkpoint.checkpoint
            model.forward = lambda x: again(forward, x, use_reentrant=False, preserve_rng_state=False)
            yield
            del model.forward

    model = nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(48, 8), nn.Dropout(), nn.Tanh()), nn.Linear(8, CLASSES))
    assert explain(model, F.cross_entropy, batches(), Careless()).guilty == "1.1"


def test_what_cannot_be_explained_is_said() -> None:
    model = network()
    with pytest.raises(UsageError, match="inplace-abn cannot be explained: Network has no invertible batch norm"):
        explain(model, F.cross_entropy, batches(), InplaceABN())
    with pytest.raises(UsageError, match="2 minibatches are too few"):
        explain(model, F.cross_entropy, batches(2), Scaling([], 1.0))
