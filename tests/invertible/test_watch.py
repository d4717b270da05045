"""Watching sees every layer once, with the input that it really had."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gradbench.invertible import (
    AdditiveCoupling,
    Chain,
    InvertibleBatchNorm,
    InvertibleLeakyReLU,
    SplitConvolution,
    State,
    layers,
    storing,
    watch_rebuilt,
)
from gradbench.invertible.state import as_state
from tests.invertible.oracle import state


def branch() -> Chain:
    return Chain(SplitConvolution(4), InvertibleBatchNorm(4), InvertibleLeakyReLU(0.5))


def network() -> nn.Module:
    model = nn.Module()
    model.chain = Chain(
        {
            "stem": Chain(InvertibleBatchNorm(8)),
            "block0": AdditiveCoupling(branch(), Pair()),
            "block1": AdditiveCoupling(AdditiveCoupling(Chain(InvertibleLeakyReLU(0.5)), nn.Tanh()), branch()),
        }
    )
    return model.double()


class Pair(nn.Module):
    def forward(self, x1: Tensor, x2: Tensor) -> State:
        return torch.tanh(x2), x1


def test_rebuilt_inputs_and_outputs_are_those_of_the_forward_pass() -> None:
    model, x = network(), state(3, 2, 4, 4, groups=4)
    names = {info.module: info.name for info in layers(model)}
    seen: dict[str, tuple[State, State]] = {}
    rebuilt: dict[str, tuple[State, State]] = {}
    hooks = [
        module.register_forward_hook(lambda m, x, y: seen.update({names[m]: (x, as_state(y))})) for module in names
    ]
    with storing(model):
        model.chain(*x)
    for hook in hooks:
        hook.remove()

    def watch(module: nn.Module, x: State, y: State) -> None:
        assert names[module] not in rebuilt
        rebuilt[names[module]] = (tuple(t.clone() for t in x), tuple(t.clone() for t in y))

    with watch_rebuilt(watch):
        y = model.chain(*x)
        torch.autograd.backward(y, [torch.randn_like(tensor) for tensor in y])
    assert rebuilt.keys() == seen.keys() == set(names.values())
    for name, values in rebuilt.items():
        for mine, other in zip(values, seen[name], strict=True):
            assert all(torch.allclose(a, b, rtol=1e-10, atol=1e-12) for a, b in zip(mine, other, strict=True)), name


def test_layers_are_listed_in_the_order_of_the_forward_pass() -> None:
    found = [(info.name, info.kind, info.block) for info in layers(network())]
    assert found == [
        ("chain.stem.0", "norm", -1),
        ("chain.block0", "coupling", 0),
        ("chain.block0.f.0", "convolution", 0),
        ("chain.block0.f.1", "norm", 0),
        ("chain.block0.f.2", "activation", 0),
        ("chain.block1", "coupling", 1),
        ("chain.block1.f.f.0", "activation", 1),
        ("chain.block1.g.0", "convolution", 1),
        ("chain.block1.g.1", "norm", 1),
        ("chain.block1.g.2", "activation", 1),
    ]


def test_a_users_module_is_a_layer_and_a_chain_is_none() -> None:
    class Flip(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flip(3)

        inverse = forward

    assert [(info.name, info.kind) for info in layers(Chain(Chain(Flip())))] == [("0.0", "user")]


def test_watching_ends_with_its_context() -> None:
    seen: list[nn.Module] = []
    model, x = Chain(InvertibleLeakyReLU(0.5)), state(1, 1, 2, 2, groups=1)
    with watch_rebuilt(lambda module, x, y: seen.append(module)):
        model(*x).sum().backward()
    model(*x).sum().backward()
    assert seen == list(model)
