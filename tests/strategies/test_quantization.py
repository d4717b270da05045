"""Approximate and naive quantisation against a slow truth written out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradbench.measure.memory import step_memory
from gradbench.strategies import STRATEGIES
from gradbench.strategies.approximate import Approximate
from gradbench.strategies.base import Strategy
from gradbench.strategies.naive_quantize import NaiveQuantize
from gradbench.strategies.quantizer import channel_moments, decode, encode
from tests.models.networks import images, loss
from tests.strategies.subjects import over, step, stored_and, subject

BITS = STRATEGIES["approximate"].allowed
STORED = STRATEGIES.create("stored")


class Unit(nn.Module):
    """conv - norm - leaky ReLU - conv, in float64: a unit of Chakrabarti and Moseley and the next convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.LeakyReLU(0.2)
        self.second = nn.Conv2d(4, 5, 3, padding=1, bias=False)
        self.double()
        nn.init.uniform_(self.norm.weight, 0.5, 2.0)
        nn.init.normal_(self.norm.bias)
        with torch.no_grad():
            self.norm.weight[1] *= -1

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.act(self.norm(self.first(x))))


def by_hand(unit: Unit, x: Tensor, g: Tensor, bits: int, naive: bool) -> dict[str, Tensor]:
    """Return the output and all gradients, each from its own formula; g: gradient of the output."""
    per_channel = (1, -1, 1, 1)
    gamma, beta = unit.norm.weight.detach(), unit.norm.bias.detach()
    z = F.conv2d(x, unit.first.weight.detach(), padding=1)
    mean, std = channel_moments(z)
    sigma = (std**2 + unit.norm.eps).sqrt()
    y = (z - mean.view(per_channel)) / sigma.view(per_channel) * gamma.view(per_channel) + beta.view(per_channel)
    kept = decode(encode(y, beta, gamma, bits))
    seen = kept if naive else y
    output = F.conv2d(F.leaky_relu(seen, 0.2), unit.second.weight.detach(), padding=1)
    d_second = torch.nn.grad.conv2d_weight(F.leaky_relu(kept, 0.2), unit.second.weight.shape, g, padding=1)
    d_a = torch.nn.grad.conv2d_input(y.shape, unit.second.weight.detach(), g, padding=1)
    d_y = torch.where(y > 0, d_a, 0.2 * d_a)
    xhat = (kept - beta.view(per_channel)) / gamma.view(per_channel)
    d_gamma, d_beta = (d_y * xhat).sum((0, 2, 3)), d_y.sum((0, 2, 3))
    count = d_y.numel() / d_y.shape[1]
    centred = d_y - d_beta.view(per_channel) / count - xhat * d_gamma.view(per_channel) / count
    d_z = centred * (gamma / sigma).view(per_channel)
    d_first = torch.nn.grad.conv2d_weight(x, unit.first.weight.shape, d_z, padding=1)
    return {
        "output": output,
        "first.weight": d_first,
        "norm.weight": d_gamma,
        "norm.bias": d_beta,
        "second.weight": d_second,
    }


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("naive", [False, True])
def test_gradients_are_those_of_the_formulas(bits: int, naive: bool) -> None:
    unit, x = Unit(), torch.randn(5, 3, 8, 8, dtype=torch.float64)
    g = torch.randn(5, 5, 8, 8, dtype=torch.float64)
    expected = by_hand(unit, x, g, bits, naive)
    strategy = NaiveQuantize(bits) if naive else Approximate(bits)
    with strategy.applied_to(unit):
        output = unit(x)
        output.backward(g)
    torch.testing.assert_close(output, expected.pop("output"), rtol=1e-10, atol=1e-10)
    for name, gradient in expected.items():
        torch.testing.assert_close(unit.get_parameter(name).grad, gradient, rtol=1e-9, atol=1e-9)


def test_gates_are_exact_whatever_the_bits() -> None:
    """Without a norm the gradient of the input needs weights and gates only, so it is exact at 2 bits."""
    net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.LeakyReLU(0.1), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.Conv2d(6, 2, 3))
    x = torch.randn(4, 3, 12, 12, requires_grad=True)
    weights = torch.randn_like(net(x))
    (stored,) = torch.autograd.grad(net(x), x, weights)
    with Approximate(2).applied_to(net):
        (found,) = torch.autograd.grad(net(x), x, weights)
    assert torch.equal(found, stored)


@over(["approximate:4"])
def test_the_forward_pass_and_the_buffers_of_approximate_are_exact(name: str, strategy: Strategy) -> None:
    model = subject(name, 2)
    (x,) = images(4, dtype=torch.float32)
    with STORED.applied_to(model):
        scores = model.eval()(x)
    with strategy.applied_to(model):
        assert torch.equal(model(x), scores)
    twin, stored, found = stored_and(model.train(), strategy, x)
    for key, buffer in model.named_buffers():
        assert torch.equal(buffer, twin.get_buffer(key)), key
    first, last = next(iter(stored)), list(stored)[-1]
    assert torch.equal(found[last], stored[last])  # above the last quantised activation nothing changes
    assert not torch.equal(found[first], stored[first])


def test_more_bits_mean_less_error_and_naive_is_worse() -> None:
    torch.manual_seed(7)
    model, (x,) = subject("hybrid", 5, width=8), images(8, dtype=torch.float32)
    stored = step(model, STORED, x)

    def error(spec: str) -> float:
        found = step(model, STRATEGIES.create(spec), x)
        return float(sum((found[key] - stored[key]).square().sum() for key in stored))  # type: ignore[operator]

    approximate = {bits: error(f"approximate:{bits}") for bits in BITS}
    # Above some bits the values beyond three standard deviations, which are clipped, make the error.
    assert approximate[2] > 2 * approximate[3] > 3 * approximate[4] > 3 * approximate[6] > 3 * approximate[8]
    for bits, squared in approximate.items():
        assert error(f"naive-quantize:{bits}") > 4 * squared


def test_between_the_passes_k_of_32_bits_are_kept() -> None:
    model, (x,) = subject("hybrid", 3, width=8), images(24, dtype=torch.float32)

    def saved(spec: str) -> int:
        with STRATEGIES.create(spec).applied_to(model):
            return step_memory(model, (x,), lambda: loss(model(x))).saved

    stored = saved("stored")
    for bits in BITS:
        assert saved(f"approximate:{bits}") / stored < bits / 32 + 0.06
    assert saved("naive-quantize:4") / stored < 4 / 32 + 0.06


class Residual(nn.Module):
    """A block in torchvision's manner: the shortcut is added in place, and the rectifiers work in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norms[0](self.first(x)), inplace=True)
        y = self.norms[1](self.second(y))
        y += x
        return F.max_pool2d(y.relu_(), 2)


@pytest.mark.parametrize("bits", BITS)
def test_gates_behind_a_sum_in_place_are_exact(bits: int) -> None:
    """With running statistics a norm is a constant map, so that the gradient of the input needs gates alone."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3), Residual(), nn.Conv2d(4, 4, 3)).eval()
    x = torch.randn(3, 3, 14, 14, requires_grad=True)
    weights = torch.randn_like(net(x))
    (stored,) = torch.autograd.grad(net(x), x, weights)
    with Approximate(bits).applied_to(net):
        (found,) = torch.autograd.grad(net(x), x, weights)
    assert torch.equal(found, stored)


@pytest.mark.parametrize("activation", ["Tanh", "Sigmoid", "GELU", "SiLU", "Softplus", "PReLU", "ReLU6"])
def test_other_activations_stay_exact_and_that_is_said(activation: str) -> None:
    def act() -> nn.Module:
        return getattr(nn, activation)()

    net = nn.Sequential(nn.Conv2d(3, 6, 3), act(), nn.Conv2d(6, 6, 3), act(), nn.Conv2d(6, 2, 3))
    x = torch.randn(4, 3, 12, 12, requires_grad=True)
    weights = torch.randn_like(net(x))
    stored = torch.autograd.grad(net(x), [x, net[2].weight], weights)
    with Approximate(2).applied_to(net):
        found = torch.autograd.grad(net(x), [x, net[2].weight], weights)
    assert torch.equal(found[0], stored[0])
    shares = activation in ("Tanh", "Sigmoid")  # they keep their output, which the convolution needs as well
    assert torch.equal(found[1], stored[1]) == shares
    (note,) = Approximate(2).notes(net)
    assert note == f"what {activation} keep for the backward pass stays exact: none is a (leaky) ReLU"
    assert Approximate(2).notes(nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.LeakyReLU())) == []


@pytest.mark.parametrize("strategy", [Approximate(2), NaiveQuantize(8)], ids=lambda strategy: strategy.name)
def test_a_transformer(strategy: Strategy) -> None:
    """Attention and layer norm are exact, and so are gates: only what linear maps of tokens keep is quantised."""
    net = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    x = torch.randn(3, 5, 8, requires_grad=True)
    weights = torch.randn(3, 5, 8)
    names = ["input", *dict(net.named_parameters())]
    stored = torch.autograd.grad(net(x), [x, *net.parameters()], weights)
    with strategy.applied_to(net):
        output = net(x)
        found = torch.autograd.grad(output, [x, *net.parameters()], weights)
    if isinstance(strategy, Approximate):
        changed = {name for name, a, b in zip(names, found, stored, strict=True) if not torch.equal(a, b)}
        assert changed == {"linear1.weight", "linear2.weight"}
        assert torch.equal(output, net(x))
    else:
        assert 0 < float((output - net(x)).detach().norm() / output.detach().norm()) < 0.05
    assert strategy.notes(net)[0].startswith("what LayerNorm, MultiheadAttention keep")


def test_only_what_runs_inside_the_part_is_quantised() -> None:
    """Strategies on two parts of a model: what is between and after them is ordinary autograd."""
    layers = [nn.Conv2d(4, 4, 3, padding=1) for _ in range(4)]
    model, x = nn.Sequential(*layers), torch.randn(4, 4, 8, 8)
    stored = torch.autograd.grad(model(x).square().sum(), list(model.parameters()))
    with Approximate(2).applied_to(layers[1]), Approximate(2).applied_to(layers[3]):
        found = torch.autograd.grad(model(x).square().sum(), list(model.parameters()))
    assert [torch.equal(a, b) for a, b in zip(found, stored, strict=True)] == [i not in (2, 6) for i in range(8)]
    assert not any("forward" in vars(module) for module in model.modules())


def test_autocast_quantises_what_it_casts_and_no_weight() -> None:
    class Casting(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return self[1](F.gelu(self[0](x)).float())

    net = Casting(nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3))
    x = torch.randn(4, 3, 12, 12, requires_grad=True)

    def gradients(strategy: Strategy) -> tuple[Tensor, ...]:
        with strategy.applied_to(net):
            with torch.autocast("cpu", torch.bfloat16):
                output = net(x)
            return torch.autograd.grad(output.float().square().sum(), [x, net[0].weight, net[1].weight])

    stored, found = gradients(STORED), gradients(Approximate(2))
    assert [torch.equal(a, b) for a, b in zip(found, stored, strict=True)] == [True, True, False]


class ByFunction(nn.Module):
    """A gate that no module shows."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x)


@pytest.mark.parametrize("spec", ["approximate:4", "naive-quantize:4"])
@pytest.mark.parametrize(
    ("model", "shape", "finds"),
    [
        (nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 5)), (8, 6), False),
        (nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 5)), (8, 3, 6), True),
        (nn.Sequential(nn.Conv1d(3, 3, 1), nn.Tanh(), nn.Flatten(), nn.Linear(18, 5)), (8, 3, 6), False),
        (nn.Sequential(nn.Conv1d(3, 3, 1), nn.Tanh(), nn.Conv1d(3, 3, 1)), (8, 3, 6), False),
        (nn.Sequential(nn.Conv1d(3, 3, 1), nn.Conv1d(3, 3, 1)), (8, 3, 6), True),
        (nn.Sequential(nn.Conv1d(3, 3, 1), ByFunction(), nn.Conv1d(3, 3, 1)), (8, 3, 6), True),
    ],
)
def test_where_nothing_is_quantised_it_is_said(
    spec: str, model: nn.Module, shape: tuple[int, ...], finds: bool
) -> None:
    """What it says is true: the gradient is stored training's bit for bit if and only if it finds nothing."""
    strategy, x = STRATEGIES.create(spec), torch.randn(shape)
    reason = strategy.finds_nothing(model, lambda: model(x))
    assert (reason is None) is finds
    gradients = []
    for one in (STORED, strategy):
        with one.applied_to(model):
            gradients.append(torch.autograd.grad(model(x).square().sum(), list(model.parameters())))
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True)) is not finds
    if not finds:
        assert reason.startswith("Sequential has no convolution")
