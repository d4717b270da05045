"""The additive coupling: branches of both kinds, an inverse that never asks them for theirs, and clear refusals."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gradbench.invertible import (
    AdditiveCoupling,
    Chain,
    InvertibleBatchNorm,
    InvertibleLeakyReLU,
    LayerError,
    SplitConvolution,
)
from tests.invertible.oracle import relative_error, same_as_stored, state


class Pair(nn.Module):
    """A branch on two groups."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 3, 1, 1))
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x1: Tensor, x2: Tensor) -> tuple[Tensor, Tensor]:
        return torch.tanh(torch.conv2d(x1 * x2, self.weight)), x1.square()


class Bias(nn.Module):
    """A branch whose parameter's gradient is, as a tensor, the gradient that came in."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.randn(2, 4, 5, 5))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


def convolution(**options: object) -> nn.Conv2d:
    return nn.Conv2d(4, 4, 3, **({"padding": 1} | options))  # type: ignore[arg-type]


def squeeze() -> nn.Sequential:
    """Return a branch whose gradient is an expanded tensor."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 4, 1), nn.Sigmoid(), nn.Upsample(5))


def hooked() -> nn.Conv2d:
    layer = convolution()
    layer.register_forward_hook(lambda module, x, y: 2 * y)
    return layer


def inner_chain() -> Chain:
    """Return a branch on two groups of three channels."""
    return Chain(AdditiveCoupling(nn.Tanh(), nn.Conv2d(3, 3, 1, bias=False)), InvertibleBatchNorm(6))


BRANCHES = {
    "convolution": convolution,
    "grouped, dilated": lambda: convolution(groups=2, dilation=2, padding=2, bias=False),
    "padding by name": lambda: convolution(padding="same"),
    "reflecting": lambda: convolution(padding_mode="reflect"),
    "hooked": hooked,
    "bias": Bias,
    "identity": nn.Identity,
    "squeeze": squeeze,
    "invertible layer": lambda: InvertibleBatchNorm(4),
    "empty chain": Chain,
    "rebuilding inside an ordinary branch": lambda: nn.Sequential(convolution(), Chain(InvertibleBatchNorm(4))),
}


@pytest.mark.parametrize("f", BRANCHES)
def test_gradients_with_every_kind_of_branch(f: str) -> None:
    torch.manual_seed(5)
    model = Chain(AdditiveCoupling(BRANCHES[f](), convolution()), AdditiveCoupling(nn.Tanh(), BRANCHES[f]())).double()
    if f.startswith("rebuilding"):
        # The norm's mean takes the bias away, so that its gradient is nothing but rounding.
        for layer in model:
            for branch in (layer.f, layer.g):
                if isinstance(branch, nn.Sequential):
                    branch[0].bias = None
    assert same_as_stored(model, state(2, 4, 5, 5))


def test_no_two_gradients_share_memory() -> None:
    model, x = Chain(AdditiveCoupling(Bias(), Bias())).double(), state(2, 4, 5, 5)
    y = model(*x)
    dy = [torch.randn_like(tensor) for tensor in y]
    torch.autograd.backward(y, dy)
    tensors = [*dy, *y, *(leaf.grad for leaf in (*x, *model.parameters()))]
    assert len({tensor.untyped_storage().data_ptr() for tensor in tensors}) == len(tensors)


def test_branches_on_several_groups() -> None:
    model = Chain(AdditiveCoupling(Pair(), Pair()), AdditiveCoupling(Pair(), inner_chain()))
    assert same_as_stored(model.double(), state(2, 3, 4, 4, groups=4))


def test_the_inverse_is_exact_to_rounding_and_uses_no_layers_inverse() -> None:
    class Lossy(InvertibleLeakyReLU):
        def invert(self, y: tuple[Tensor, ...], memo: object) -> tuple[Tensor, ...]:
            raise AssertionError("the inverse of a layer was used")

    def branch() -> Chain:
        return Chain(SplitConvolution(8), InvertibleBatchNorm(8), Lossy(1e-6))

    model, x = Chain(*(AdditiveCoupling(branch(), branch()) for _ in range(8))), state(8, 4, 6, 6, groups=4)
    x = tuple(tensor.detach().float() for tensor in x)
    with torch.no_grad():
        y, memo = model.run(x)
        rebuilt = model.invert(tuple(tensor.clone() for tensor in y), memo)
    assert max(relative_error(a, b) for a, b in zip(rebuilt, x, strict=True)) < 1e-4


def test_inverse_without_a_memo_leaves_running_statistics_alone() -> None:
    branch = nn.Sequential(convolution(), nn.BatchNorm2d(4)).double()
    layer, x = AdditiveCoupling(branch, convolution().double()), state(2, 4, 5, 5)
    y = layer(*x)
    before = [buffer.clone() for buffer in layer.buffers()]
    assert max(relative_error(a, b) for a, b in zip(layer.inverse(*y), x, strict=True)) < 1e-12
    assert all(torch.equal(a, b) for a, b in zip(layer.buffers(), before, strict=True))


@pytest.mark.parametrize("grad", [True, False])
def test_a_branch_that_changes_the_shape_is_named_at_the_first_forward_pass(grad: bool) -> None:
    bad = AdditiveCoupling(Chain({"inside": AdditiveCoupling(nn.Conv2d(2, 2, 3), nn.Identity())}), Chain())
    model = Chain({"block0": AdditiveCoupling(Chain(), Chain()), "block1": bad})
    sentence = r"layer 'block1.f.inside.f': branch Conv2d gives \(2, 2, 3, 3\) where .* is \(2, 2, 5, 5\)"
    with pytest.raises(LayerError, match=sentence), torch.set_grad_enabled(grad):
        model(*state(2, 2, 5, 5, groups=4, dtype=torch.float32))


@pytest.mark.parametrize("branch", [nn.ReLU(inplace=True), nn.Sequential(nn.ReLU(inplace=True))])
def test_a_branch_that_overwrites_its_input_is_named(branch: nn.Module) -> None:
    model = Chain(AdditiveCoupling(branch, nn.Identity()))
    with pytest.raises(LayerError, match=rf"layer '0.f': {type(branch).__name__} overwrites its input"):
        model(*(tensor.detach() for tensor in state(2, 4, 5, 5)))


def test_an_odd_number_of_groups_is_refused() -> None:
    with pytest.raises(LayerError, match="even number of channel groups, got 3"):
        AdditiveCoupling(nn.Identity(), nn.Identity())(*state(1, 2, 3, 3, groups=3))


def test_the_split_convolution_has_four_and_a_half_c_squared_weights() -> None:
    layer = SplitConvolution(12)
    assert sum(parameter.numel() for parameter in layer.parameters()) == 4.5 * 12**2
    assert (layer.kind, AdditiveCoupling.kind) == ("convolution", "coupling")
    x1, x2 = state(1, 6, 5, 5, dtype=torch.float32)
    y1, y2 = layer(x1, x2)
    assert torch.equal(y1, x1 + layer.f(x2))
    assert torch.equal(y2, x2 + layer.g(y1))
    with pytest.raises(ValueError, match="needs an even number"):
        SplitConvolution(5)
