"""A float64 step uses the random numbers of the step that it is the truth of."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import gradbench
from gradbench.measure.errors import GradientErrors
from gradbench.measure.gradients import Batch, measure_gradients
from gradbench.measure.redraw import Drawing, DrawsDiffer, Redrawing
from gradbench.measure.verdict import verdict
from gradbench.strategies import STRATEGIES
from gradbench.strategies.stored import Stored

CPU = torch.device("cpu")


def _slow_path(x: Tensor) -> Tensor:
    return x * torch.empty(len(x), 1, dtype=x.dtype, device=x.device).bernoulli_(0.5)


def _attention(x: Tensor) -> Tensor:
    heads = x.view(-1, 2, 3, 4)
    return F.scaled_dot_product_attention(heads, heads, heads, dropout_p=0.4).flatten(1)


def _put_into(x: Tensor) -> Tensor:
    numbers = torch.empty(24, dtype=x.dtype, device=x.device)
    torch.rand(24, out=numbers)
    return x * numbers


def _in_a_thread(x: Tensor) -> Tensor:
    """Modes are a thread's own."""
    with ThreadPoolExecutor(1) as pool:
        return x * pool.submit(torch.rand_like, x).result()


class OwnGenerator(nn.Module):
    """Each call draws what follows."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator()

    def __deepcopy__(self, memo: object) -> OwnGenerator:
        return OwnGenerator()

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5) * torch.rand(24, generator=self.generator, dtype=x.dtype)


class Checkpointed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(lambda x: torch.tanh(self.dropout(x)), x, use_reentrant=False)


class Does(nn.Module):
    def __init__(self, does: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.does = does

    def forward(self, x: Tensor) -> Tensor:
        return self.does(x)


RANDOM = {
    "dropout": lambda: nn.Dropout(0.5),
    "dropout of everything": lambda: nn.Sequential(nn.Dropout(1.0), nn.Linear(24, 24)),
    "alpha dropout": lambda: nn.AlphaDropout(0.3),
    "random slopes": lambda: nn.RReLU(),
    "random slopes in place": lambda: nn.RReLU(inplace=True),
    "uniform noise": lambda: Does(lambda x: x * torch.rand_like(x)),
    "uniform noise of the default dtype": lambda: Does(lambda x: x * torch.rand(24, device=x.device)),
    "normal noise": lambda: Does(lambda x: x + torch.randn(x.shape, dtype=x.dtype, device=x.device) * x),
    "normal noise in place": lambda: Does(lambda x: x * torch.empty_like(x).normal_()),
    "dropped paths": lambda: Does(_slow_path),
    "an order": lambda: Does(lambda x: x[:, torch.randperm(24, device=x.device)]),
    "checkpointed dropout": Checkpointed,
    "attention with dropout": lambda: Does(_attention),
    "normal numbers of given spread": lambda: Does(lambda x: x * torch.normal(1.0, torch.full_like(x, 0.3))),
    "numbers put into a tensor": lambda: Does(_put_into),
    "random slopes outside of training": lambda: nn.RReLU().eval(),
    "a compiled part": lambda: torch.compile(nn.Dropout(0.5), backend="eager"),
}
UNTOLD = {
    "inside an operation": lambda: Does(lambda x: x * torch._standard_gamma(x.detach().abs() + 1)),
    "in one dtype alone": lambda: Does(lambda x: x * torch.rand_like(x) if x.dtype == torch.float32 else x),
    "in a thread": lambda: Does(_in_a_thread),
    "from a generator of its own": OwnGenerator,
    "of another shape": lambda: Does(
        lambda x: x * torch.empty(24 if x.dtype == torch.float32 else (8, 24), device=x.device).uniform_()
    ),
}


def network(part: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 24), part, nn.Linear(24, 3))


def batches(count: int) -> list[Batch]:
    return [(torch.randn(8, 6), torch.randint(3, (8,))) for _ in range(count)]


def measured(model: nn.Module, spec: str = "stored") -> list[GradientErrors]:
    strategy = STRATEGIES.create(spec)
    return measure_gradients(model, Stored(), [strategy], batches(4), 2)[spec].gradients


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # of dynamo, of its own accord
@pytest.mark.parametrize("part", RANDOM)
def test_the_truth_is_of_the_same_draws(part: str) -> None:
    for errors in measured(network(RANDOM[part]())):
        assert errors.grad_norm == 0 or 0 <= errors.rel_error_truth < 1e-5


def test_the_truth_of_noise_is_what_the_noise_makes_of_the_gradient() -> None:
    """By hand, with the noise that float32 draws: y = w x u, dL/dw = sum of x u."""
    x = torch.randn(50, 1)
    torch.manual_seed(5)
    noise = torch.rand(50, 1)
    torch.manual_seed(5)
    weight = torch.ones(1, requires_grad=True)
    with Drawing(CPU) as drawing:
        (x * weight * torch.rand_like(x)).sum().backward()
    exact = torch.ones(1, dtype=torch.float64, requires_grad=True)
    with Redrawing(CPU, drawing.drawn):
        (x.double() * exact * torch.rand_like(x.double())).sum().backward()
    torch.testing.assert_close(exact.grad, (x.double() * noise.double()).sum().view(1), rtol=1e-14, atol=0)


@pytest.mark.parametrize("part", UNTOLD)
def test_where_draws_cannot_be_repeated_there_is_no_truth_and_nothing_is_rounding(part: str) -> None:
    for errors in measured(network(UNTOLD[part]()), "saved-cast:bf16"):
        assert math.isnan(errors.rel_error_truth)
        assert verdict(errors) != "rounding"


def test_why_there_is_no_truth_is_told() -> None:
    found = gradbench.audit(
        network(UNTOLD["inside an operation"]()), F.cross_entropy, batches(4), ["saved-cast:bf16"], cost=False
    )
    assert any("_standard_gamma" in remark for remark in found.remarks)
    assert "_standard_gamma" in found.cells.set_index("strategy").loc["stored", "notes"]
    assert (
        gradbench.audit(
            network(RANDOM["dropout"]()), F.cross_entropy, batches(4), ["saved-cast:bf16"], cost=False
        ).remarks
        == []
    )


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # of dynamo, of its own accord
def test_a_compiled_part_runs_compiled_before_and_after() -> None:
    calls = []

    def backend(module: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., object]:
        def run(*given: Tensor) -> object:
            calls.append(1)
            return module(*given)

        return run

    model = network(torch.compile(nn.Sequential(nn.Linear(24, 24), nn.Dropout(0.5)), backend=backend))
    x = torch.randn(8, 6)
    model(x)
    assert len(calls) == 1
    measured(model)
    calls.clear()
    model(x)
    assert len(calls) == 1


def test_random_draws_do_not_make_errors_look_like_rounding() -> None:
    """Against a truth of other draws every distance is that of the draws, and an error of 2^-8 as good as rounding."""
    model = network(RANDOM["uniform noise"]())
    found = [verdict(errors) for errors in measured(model, "saved-cast:bf16")]
    assert "rounding" not in found


def test_more_draws_than_were_recorded_are_refused() -> None:
    with Drawing(CPU) as drawing:
        torch.rand(3)
    with Redrawing(CPU, drawing.drawn):
        torch.rand(3)
        with pytest.raises(DrawsDiffer, match="nothing"):
            torch.rand(3)


@pytest.mark.gpu
@pytest.mark.parametrize("part", ["dropout", "random slopes", "uniform noise", "dropped paths"])
def test_the_truth_is_of_the_same_draws_on_a_gpu(part: str) -> None:
    model = network(RANDOM[part]()).cuda()
    given = [(x.cuda(), y.cuda()) for x, y in batches(4)]
    for errors in measure_gradients(model, Stored(), [Stored()], given, 2)["stored"].gradients:
        assert 0 <= errors.rel_error_truth < 1e-5
