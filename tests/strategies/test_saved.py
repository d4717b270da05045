"""What is kept in place of saved tensors: cast, rounded at random, or on the host, each held to its error model."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from gradbench.measure.memory import LiveStorages, step_memory
from gradbench.strategies import STRATEGIES
from gradbench.strategies.base import Strategy
from gradbench.strategies.saved import saved_otherwise
from gradbench.strategies.saved_cast import SavedCast
from gradbench.strategies.stochastic import GROUP, Stochastic, round_at_random
from tests.models.networks import images
from tests.strategies.subjects import SPECS, over, relative, step, stored_and, subject

BITS = STRATEGIES["stochastic"].allowed
#: Unit roundoff and smallest normal number of each format; fp8 has a scale that puts the largest at 448.
FORMATS = {"bf16": (2**-8, 2.0**-126), "fp16": (2**-11, 2.0**-14), "fp8": (2**-4, 2.0**-6)}
KEPT_OTHERWISE = [spec for spec in SPECS if spec.startswith(("offload", "saved-cast", "stochastic"))]


def seen_by_the_backward_pass(strategy: Strategy, x: Tensor) -> Tensor:
    """Return x as the backward pass of a product sees it: the gradient of the other factor."""

    class Product(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x * 1) * factor  # x * 1 is an activation, x is the model's input

    factor = torch.ones_like(x, requires_grad=True)
    model = Product()
    with strategy.applied_to(model):
        (seen,) = torch.autograd.grad(model(x).sum(), factor)
    return seen


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_a_cast_rounds_within_the_unit_roundoff(form: str, scale: float) -> None:
    x = scale * torch.randn(40, 50, dtype=torch.float64) * 10 ** torch.randn(40, 50, dtype=torch.float64).clamp(-2, 2)
    x[0, :2] = torch.tensor([0.0, -0.0])
    error = (seen_by_the_backward_pass(SavedCast(form), x) - x).abs()
    roundoff, normal = FORMATS[form]
    factor = float(x.abs().max()) / 448 if form == "fp8" else 1.0
    # A hair more, since torch rounds float64 to float32 on the way.
    assert (error <= (1 + 1e-3) * roundoff * torch.maximum(x.abs(), torch.tensor(normal * factor))).all()
    assert float(error.max()) > 0


def test_a_cast_of_zeros_and_of_what_is_not_finite_stays_so() -> None:
    for form in FORMATS:
        assert torch.equal(seen_by_the_backward_pass(SavedCast(form), torch.zeros(3, 3)), torch.zeros(3, 3))
        wrong = seen_by_the_backward_pass(SavedCast(form), torch.tensor([[1.0, math.inf], [math.nan, 2.0]]))
        assert wrong.isfinite().tolist() == [[form != "fp8", False], [False, form != "fp8"]]


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_no_wider_stays_as_it_is(form: str) -> None:
    x = torch.randn(5, 7).to(torch.float8_e5m2 if form == "fp8" else torch.bfloat16)
    assert SavedCast(form)._keep(x) is None
    assert SavedCast(form)._keep(torch.arange(3)) is None


@pytest.mark.parametrize("bits", BITS)
def test_rounding_at_random_moves_an_element_by_less_than_a_step(bits: int) -> None:
    x = torch.randn(7, 300, dtype=torch.float64) * torch.logspace(-3, 3, 7, dtype=torch.float64).view(7, 1)
    restored = round_at_random(x, bits, torch.Generator(torch.get_default_device()).manual_seed(bits))()
    flat, found = x.flatten(), restored.flatten()
    for first in range(0, flat.numel(), GROUP):
        group, seen = flat[first : first + GROUP], found[first : first + GROUP]
        step = float(group.max() - group.min()) / (2**bits - 1)
        assert float((seen - group).abs().max()) < step * (1 + 1e-9)
        codes = (seen - group.min()) / step
        torch.testing.assert_close(codes, codes.round(), rtol=0, atol=1e-6)
        assert seen[group.argmin()] == group.min()


@pytest.mark.parametrize("bits", BITS)
def test_rounding_at_random_is_unbiased(bits: int) -> None:
    """A z-test of the mean of n draws: of an element f of a step above a code the variance is f (1 - f) steps^2."""
    x, draws = torch.randn(2, GROUP, dtype=torch.float64), 200
    generator = torch.Generator(torch.get_default_device()).manual_seed(11)
    mean = sum(round_at_random(x, bits, generator)() for _ in range(draws)) / draws
    low, high = x.aminmax(dim=1, keepdim=True)
    step = (high - low) / (2**bits - 1)
    above = ((x - low) / step).frac()
    variance = (above * (1 - above) * step**2).sum()
    z = float((mean - x).sum() / (variance / draws).sqrt())
    assert abs(z) < 4  # all elements together: a bias would add up
    per_element = (mean - x) / ((above * (1 - above)).clamp_min(1e-3) * step**2 / draws).sqrt()
    assert float(per_element.abs().max()) < 6


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_shapes_dtypes_constants_and_the_end_of_the_last_group_survive(bits: int, dtype: torch.dtype) -> None:
    generator = torch.Generator(torch.get_default_device()).manual_seed(1)
    for shape in [(1,), (3, 5, 7), (GROUP,), (2, GROUP + 1)]:
        x = torch.full(shape, 5.0, dtype=dtype)
        restored = round_at_random(x, bits, generator)()
        assert (restored.shape, restored.dtype) == (x.shape, x.dtype)
        assert torch.equal(restored, x)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_group_with_a_value_that_is_not_finite_is_kept_exactly_and_no_other(dtype: torch.dtype) -> None:
    """As the logarithms that fused attention saves, whose rows it pads with infinity."""
    x = torch.randn(5, GROUP, dtype=dtype)
    x[1, 3], x[2, -1], x[4, 0] = torch.inf, -torch.inf, torch.nan
    restored = round_at_random(x, 2, torch.Generator(torch.get_default_device()).manual_seed(1))()
    assert torch.equal(restored[[1, 2]], x[[1, 2]])
    torch.testing.assert_close(restored[4], x[4], rtol=0, atol=0, equal_nan=True)
    for row in (0, 3):
        assert 0 < float((restored[row] - x[row]).abs().max()) <= float(x[row].max() - x[row].min()) / 3 * (1 + 1e-6)


def test_draws_follow_torchs_seed_and_no_two_steps_round_alike() -> None:
    x = torch.randn(64, 64)

    def steps(seed: int) -> list[Tensor]:
        torch.manual_seed(seed)
        strategy = Stochastic(2)
        return [seen_by_the_backward_pass(strategy, x) for _ in range(3)]

    once, again, other = steps(1), steps(1), steps(2)
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in [(once[0], once[1]), (once[1], once[2]), (once[0], other[0])])


@over(["stochastic:8"])
def test_the_models_random_numbers_do_not_move(name: str, strategy: Strategy) -> None:
    model = nn.Sequential(subject(name), nn.Dropout(0.5))
    states = []
    for spec in ("stored", strategy.name):
        step(model, STRATEGIES.create(spec), images(4, dtype=torch.float32)[0])
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


def test_gates_of_rectifiers_are_exact_under_random_rounding() -> None:
    net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.LeakyReLU(0.1), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.Conv2d(6, 2, 3))
    x = torch.randn(4, 3, 12, 12, requires_grad=True)
    weights = torch.randn_like(net(x))
    (stored,) = torch.autograd.grad(net(x), x, weights)
    with Stochastic(2).applied_to(net):
        (found,) = torch.autograd.grad(net(x), x, weights)
    assert torch.equal(found, stored)


def test_a_linear_gradient_is_unbiased_and_its_spread_is_known() -> None:
    """Of a linear layer, dW = g^T x with g exact: the mean of n draws is dW within its confidence interval."""
    net = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 3)).double()
    x, draws, strategy = torch.randn(64, 8, dtype=torch.float64), 300, Stochastic(2)
    weights = torch.randn(64, 3, dtype=torch.float64)
    (stored,) = torch.autograd.grad((net(x) * weights).sum(), net[1].weight)
    torch.manual_seed(0)
    found = []
    for _ in range(draws):
        with strategy.applied_to(net):
            found.append(torch.autograd.grad((net(x) * weights).sum(), net[1].weight)[0])
    all_draws = torch.stack(found)
    z = (all_draws.mean(0) - stored) / (all_draws.std(0) / draws**0.5)
    assert float(z.abs().max()) < 4.5
    assert float(z.square().mean()) < 2


@over(KEPT_OTHERWISE)
def test_the_forward_pass_is_exact(name: str, strategy: Strategy) -> None:
    model, (x,) = subject(name), images(4, dtype=torch.float32)
    with STRATEGIES.create("stored").applied_to(model):
        scores = model.eval()(x)
    with strategy.applied_to(model):
        assert torch.equal(model(x), scores)


@over(["offload"])
def test_offloaded_gradients_are_stored_ones_bit_for_bit(name: str, strategy: Strategy) -> None:
    _, stored, found = stored_and(subject(name), strategy)
    assert all(torch.equal(found[key], stored[key]) for key in stored)  # type: ignore[arg-type]


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("spec", ["offload", "saved-cast:bf16", "stochastic:8"])
def test_random_slopes_are_those_that_were_drawn(spec: str, whole: bool) -> None:
    """The function of RReLU saves its slopes before it writes them."""
    model: nn.Module = nn.RReLU() if whole else nn.Sequential(nn.Linear(8, 8), nn.RReLU(0.1, 0.9), nn.Linear(8, 8))
    model, x = model.double(), torch.randn(64, 8, dtype=torch.float64, requires_grad=True)

    def gradients(strategy: str) -> list[Tensor]:
        torch.manual_seed(5)
        with STRATEGIES.create(strategy).applied_to(model):
            return list(torch.autograd.grad(model(x).square().sum(), [x, *model.parameters()]))

    for mine, stored in zip(gradients(spec), gradients("stored"), strict=True):
        assert float((mine - stored).norm()) <= (0.0 if spec == "offload" or whole else 0.02) * float(stored.norm())


def test_errors_fall_with_the_width_of_what_is_kept() -> None:
    model, (x,) = subject("hybrid", 2, width=8), images(8, dtype=torch.float32)
    stored = step(model, STRATEGIES.create("stored"), x)
    errors = [
        relative(step(model, STRATEGIES.create(spec), x), stored)
        for spec in ("stochastic:2", "stochastic:4", "stochastic:8", "saved-cast:bf16", "saved-cast:fp16")
    ]
    assert errors[0] > errors[1] > errors[2] > errors[3] > errors[4] > 0


@pytest.mark.parametrize(
    ("spec", "share"),
    [("saved-cast:bf16", 1 / 2), ("saved-cast:fp8", 1 / 4), *((f"stochastic:{b}", b / 32) for b in BITS)],
)
def test_between_the_passes_the_share_of_the_bits_is_kept(spec: str, share: float) -> None:
    """Of smooth layers, whose outputs alone are saved: each once, also where two operations save it."""
    model = nn.Sequential(*(part for _ in range(6) for part in (nn.Linear(64, 64), nn.Tanh())))
    x = torch.randn(64, 64)
    state = x.numel() * 4
    with STRATEGIES.create(spec).applied_to(model):
        saved = step_memory(model, (x,), lambda: model(x).sum()).saved
    # Each group of 256 elements, 1024 bytes, also keeps two numbers, 8 bytes; the last output is alive.
    groups = 8 / 1024 if spec.startswith("stochastic") else 0
    assert saved / state == pytest.approx(6 * (share + groups), abs=0.01) or saved / state == pytest.approx(
        6 * (share + groups) + 1, abs=0.01
    )


def test_parameters_buffers_and_the_input_stay_and_autocasts_copies_of_weights_do() -> None:
    seen: list[torch.Size] = []

    def keep(x: Tensor) -> None:
        seen.append(x.shape)

    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3), nn.BatchNorm1d(3)).eval()
    x = torch.randn(4, 5)
    with saved_otherwise(model, keep):
        model(x).sum().backward()
    # On a GPU a batch norm saves the statistics that it used, in evaluation too.
    statistics = {torch.Size([3])} if x.is_cuda else set()
    assert set(seen) == {torch.Size([4, 7]), torch.Size([4, 3])} | statistics
    seen.clear()
    with saved_otherwise(model, keep), torch.autocast(x.device.type, torch.bfloat16):
        model(x).sum().backward()
    assert set(seen) <= {
        torch.Size([4, 5]),
        torch.Size([4, 7]),
        torch.Size([4, 3]),
        *statistics,
    }  # the input's copy is another tensor


def test_only_what_runs_inside_the_part_is_kept_otherwise() -> None:
    model, x = nn.Sequential(*(nn.Linear(4, 4) for _ in range(4))), torch.randn(4, 4)
    stored = torch.autograd.grad(model(x).square().sum(), list(model.parameters()))
    with SavedCast("fp8").applied_to(model[1]), Stochastic(2).applied_to(model[3]):
        found = torch.autograd.grad(model(x).square().sum(), list(model.parameters()))
    assert [torch.equal(a, b) for a, b in zip(found, stored, strict=True)] == [i not in (2, 6) for i in range(8)]


def test_a_tensor_changed_in_place_is_kept_as_it_is_at_each_save() -> None:
    class InPlace(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            y = x * 1
            before = y * factor
            y.mul_(2)
            return before, y * factor

    factor = torch.ones(6, 6, requires_grad=True)
    model, x = InPlace(), torch.randn(6, 6)
    with STRATEGIES.create("offload").applied_to(model):
        before, after = model(x)
        gradients = [torch.autograd.grad(value.sum(), factor)[0] for value in (before, after)]
    assert torch.equal(gradients[0], x)
    assert torch.equal(gradients[1], 2 * x)


def test_on_a_cpu_offloading_copies_and_says_so() -> None:
    with torch.device("cpu"):
        model, x = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8)), torch.randn(64, 8)
    strategy = STRATEGIES.create("offload")
    with strategy.applied_to(model), LiveStorages() as live:
        live.ignore(*model.parameters(), x)
        y = model(x).sum()
        assert live.now == 64 * 8 * 4 + 4  # the copy of tanh's output, which two operations save, and the sum
    del y
    assert strategy.notes(model) == [
        "on a CPU the host's memory is the device's: tensors are copied, and no memory is saved"
    ]
