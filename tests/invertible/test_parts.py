"""Any part of a model may be rebuilt or stored by itself: the gradients stay, and neighbours make one node."""

from __future__ import annotations

import random
from contextlib import ExitStack

import pytest
import torch
from torch import Tensor, nn

from gradbench.case.schema import Model
from gradbench.invertible import Chain, LayerError, SplitConvolution, layers, rebuilding, storing
from gradbench.models.build import build
from tests.invertible.oracle import relative_error


def network(name: str) -> nn.Module:
    settings = Model(name=name, depth=3, width=8, negative_slope=0.8, branch_layers=1)
    return build(settings, classes=4, image_size=8).double()


def gradients(model: nn.Module, x: Tensor) -> tuple[dict[str, Tensor], int]:
    """Return the gradients, and how many nodes of chains there were."""
    model.zero_grad()
    loss = model(x).square().sum()
    nodes, waiting = set(), [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in nodes:
            nodes.add(node)
            waiting += [before for before, _ in node.next_functions]
    loss.backward()
    count = sum(type(node).__name__ == "ChainNodeBackward" for node in nodes)
    return {name: parameter.grad for name, parameter in model.named_parameters()}, count


@pytest.mark.parametrize("name", ["layerwise", "hybrid", "revnet"])
@pytest.mark.parametrize("seed", range(2))
def test_any_parts_are_rebuilt_while_the_rest_is_stored_and_the_other_way_round(name: str, seed: int) -> None:
    torch.manual_seed(seed)
    model, x = network(name), torch.randn(3, 3, 8, 8, dtype=torch.float64)
    some = random.Random(seed).sample(list(model.modules()), 5)
    with storing(model):
        true, none = gradients(model, x)
    assert none == 0
    for whole, part in ((storing, rebuilding), (rebuilding, storing)):
        with ExitStack() as contexts:
            contexts.enter_context(whole(model))
            for module in some:
                contexts.enter_context(part(module))
            found, _ = gradients(model, x)
        assert max(relative_error(found[name], g) for name, g in true.items()) < 1e-9
    assert not any("_mark" in vars(module) for module in model.modules())


@pytest.mark.parametrize(
    ("parts", "nodes"),
    [
        (["chain.block0"], 1),
        (["chain.block0", "chain.block2"], 2),
        (["chain.block1", "chain.pooling0"], 1),
        (["chain.block0.f.norm"], 1),
        (["chain.block0.f.norm", "chain.block0.f.activation", "chain.block0.g.activation"], 2),
        (["chain.block0.f", "chain.block0.g"], 2),
        (["chain.stem.norm", "chain.block0.f.norm"], 2),
        (["chain.stem", "chain.block0", "chain.pooling0", "chain.block1", "chain.pooling1", "chain.block2"], 1),
        (["stem", "head"], 0),
        (["chain"], 1),
    ],
)
def test_rebuilt_neighbours_make_one_node(parts: list[str], nodes: int) -> None:
    model = network("hybrid")
    with ExitStack() as contexts:
        contexts.enter_context(storing(model))
        for name in parts:
            contexts.enter_context(rebuilding(model.get_submodule(name)))
        assert gradients(model, torch.randn(3, 3, 8, 8, dtype=torch.float64))[1] == nodes


def test_chains_inside_a_chain_make_one_node_when_all_their_modules_are_rebuilt() -> None:
    model = network("layerwise")
    with ExitStack() as contexts:
        contexts.enter_context(storing(model))
        for layer in layers(model):
            contexts.enter_context(rebuilding(layer.module))
        assert gradients(model, torch.randn(3, 3, 8, 8, dtype=torch.float64))[1] == 1


def test_a_stored_module_parts_the_node_of_its_chain_and_the_coupling_around_it_is_stored() -> None:
    model = network("hybrid")
    x = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    # A norm of g: one node for the stem, one for f, two around the norm in g, one for all that follows the block.
    for name, nodes in (("chain.block0", 2), ("chain.block0.g.norm", 5)):
        with storing(model.get_submodule(name)):
            assert gradients(model, x)[1] == nodes
    assert gradients(model, x)[1] == 1


def test_an_error_names_the_layer_as_the_chain_knows_it() -> None:
    class Bad(SplitConvolution):
        def forward(self, *x: Tensor) -> tuple[Tensor, ...]:
            raise LayerError("breaks")

        def run(self, x: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], None]:
            raise LayerError("breaks")

    model = Chain({"first": SplitConvolution(4), "bad": Bad(4), "last": SplitConvolution(4)})
    x = [torch.randn(2, 2, 3, 3) for _ in range(2)]
    for part in ("first", "bad", "last"):
        with storing(model.get_submodule(part)), pytest.raises(LayerError, match="layer 'bad': breaks"):
            model(*x)
