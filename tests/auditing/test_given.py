"""What cannot be measured is answered in one sentence that says what, and why."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradbench
from gradbench.errors import UsageError


def batches(count: int = 3) -> list[tuple[Tensor, Tensor]]:
    return [(torch.randn(4, 6), torch.randint(3, (4,))) for _ in range(count)]


class Odd(nn.Module):
    """A linear layer whose output is what `make` says."""

    def __init__(self, make: Any) -> None:
        super().__init__()
        self.layer, self.make = nn.Linear(6, 3), make

    def forward(self, x: Tensor) -> Any:
        return self.make(self.layer(x), x)


def plain() -> nn.Module:
    return nn.Sequential(nn.Sequential(nn.Linear(6, 3)))


def audit(model: Any = None, loss: Any = F.cross_entropy, given: Any = None, strategies: Any = ("checkpoint",)) -> Any:
    model = plain() if model is None else model
    return gradbench.audit(model, loss, batches() if given is None else given, strategies, cost=False)


def on_two_devices() -> nn.Module:
    model = nn.Sequential(nn.Linear(6, 3), nn.Linear(3, 3, device="meta"))
    return model


own_stream = torch.Generator()
nan = torch.full((4, 6), torch.nan)


class Sparse(nn.Module):
    """An embedding whose gradient is sparse."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(7, 6, sparse=True), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embedding(x).mean(1))


class Stored:
    """A method of a user's own with the reference's name."""

    name = "stored"

    def applied_to(self, model: nn.Module) -> Any:
        return nullcontext()


def failing(y: Tensor, x: Tensor) -> Tensor:
    assert len(x) == 0, "an empty batch is needed"
    return y


def overwritten(y: Tensor, x: Tensor) -> Tensor:
    kept = y.exp()
    z = kept * 2
    kept.mul_(2)
    return z


def with_options(**options: Any) -> Any:
    return gradbench.audit(plain(), F.cross_entropy, batches(), ["checkpoint"], **{"cost": False, **options})


MISTAKES = {
    "strategies that are none": (
        lambda: audit(strategies=None),
        "strategies: a list of names or strategies is needed, got NoneType",
    ),
    "the reference's name": (
        lambda: audit(strategies=[Stored(), "checkpoint"]),
        "strategies: Stored is called 'stored', as the reference is: rename it",
    ),
    "minibatches in words": (
        lambda: with_options(minibatches="3"),
        "minibatches: a whole number of two or more is needed, got '3'",
    ),
    "half a minibatch": (lambda: with_options(minibatches=2.5), "minibatches: a whole number .*, got 2.5"),
    "too few minibatches": (lambda: with_options(minibatches=1), "minibatches: 1 are too few"),
    "no repetition": (lambda: with_options(cost=True, cost_repeats=0), "cost_repeats: must be at least 1, got 0"),
    "less than no truth": (lambda: with_options(truth_batches=-1), "truth_batches: must be at least 0, got -1"),
    "truth in words": (lambda: with_options(truth_batches="2"), 'truth_batches: must be a whole number, got "2"'),
    "cost in words": (lambda: with_options(cost="no"), 'cost: must be true or false, got "no"'),
    "no numbers": (
        lambda: audit(plain().to("meta"), given=[(x.to("meta"), y.to("meta")) for x, y in batches()]),
        "model: it is on the device meta, which holds no numbers: let it be on another, such as cpu",
    ),
    "no buffers yet": (
        lambda: audit(nn.Sequential(nn.Linear(6, 3), nn.LazyBatchNorm1d(affine=False))),
        "model: 1.running_mean has no shape before the first forward pass",
    ),
    "sparse": (
        lambda: audit(Sparse(), given=[(torch.randint(7, (4, 5)), torch.randint(3, (4,))) for _ in range(3)]),
        "model: the gradient of embedding.weight is sparse: dense ones are measured, as of sparse=False",
    ),
    "TorchScript": (
        lambda: audit(torch.jit.script(plain())),
        "model: RecursiveScriptModule is made by TorchScript: give the module that it was made of",
    ),
    "a model that asserts": (
        lambda: audit(Odd(failing)),
        r"model: Odd raises AssertionError on minibatch 0 \(float32 \[4, 6\]\), .*: an empty batch is needed",
    ),
    "a backward pass that raises": (
        lambda: audit(Odd(overwritten)),
        "model: the backward pass of Odd raises RuntimeError on minibatch 0 .* modified by an inplace operation",
    ),
    "a complex model": (
        lambda: audit(nn.Linear(6, 3, dtype=torch.complex64)),
        r"model: weight is complex: gradients of real parameters are measured",
    ),
    "no loss": (lambda: audit(loss=3), "loss_fn: a function of output and target is needed, got int"),
    "a model that raises": (
        lambda: audit(given=[(torch.randn(4, 5), torch.randint(3, (4,)))] * 3),
        r"model: Sequential raises RuntimeError on minibatch 0 \(float32 \[4, 5\]\), with stored .*: mat1 and mat2",
    ),
    "a loss that raises": (
        lambda: audit(given=[(torch.randn(4, 6), torch.randint(3, (5,)))] * 3),
        r"loss_fn: cross_entropy raises ValueError on minibatch 0 \(float32 \[4, 3\], int64 \[5\]\)",
    ),
    "no minibatches": (lambda: audit(given=5), r"batches: pairs \(inputs, target\) are needed, got int"),
    "no shape yet": (lambda: audit(nn.LazyLinear(3)), "model: weight has no shape before the first forward pass"),
    "a class": (lambda: audit(strategies=[Odd]), "strategies: Odd is a class: give an instance of it"),
    "other parameters": (
        lambda: gradbench.audit(plain(), F.cross_entropy, batches(), ["checkpoint"], parameters="biases"),
        r"parameters: must be 'weights' or 'all', got \"biases\"",
    ),
    "no module": (lambda: audit(F.relu), "model: a torch.nn.Module is needed, got function"),
    "nothing to train": (lambda: audit(nn.ReLU()), "model: ReLU has no parameter that requires a gradient"),
    "two devices": (lambda: audit(on_two_devices()), r"model: it is on several devices \(cpu, meta\): one is needed"),
    "no tensor": (lambda: audit(Odd(lambda y, x: None)), "model: Odd returns no tensor: it returns NoneType"),
    "no scalar": (
        lambda: audit(loss=lambda y, t: F.cross_entropy(y, t, reduction="none")),
        r"loss_fn: it must return one number, got a tensor of shape \[4\]: take its mean",
    ),
    "no tensor of a loss": (lambda: audit(loss=lambda y, t: 1.0), "loss_fn: it must return a tensor .*, got float"),
    "detached loss": (lambda: audit(Odd(lambda y, x: y.detach())), "loss_fn: the loss depends on no parameter"),
    "loss of something else": (
        lambda: audit(loss=lambda y, t: torch.ones((), requires_grad=True) * 2),
        "loss_fn: the loss depends on no parameter of the model",
    ),
    "nan": (
        lambda: audit(given=[*batches(2), (nan, torch.randint(3, (4,)))]),
        "batches: the loss of minibatch 2 is nan with stored activations",
    ),
    "nan gradient": (
        lambda: audit(Odd(lambda y, x: (y * 0).abs().sqrt() + y.detach())),
        "model: the gradient of layer.weight is not finite with stored activations",
    ),
    "elsewhere": (
        lambda: audit(given=[(x.to("meta"), y) for x, y in batches()]),
        "batches: minibatch 0 is on meta, the model on cpu: move one to the other",
    ),
    "empty": (lambda: audit(given=[]), "batches: it is empty; the noise of a gradient needs two or more"),
    "one": (lambda: audit(given=iter(batches(1))), "batches: it has one minibatch; the noise"),
    "no pair": (lambda: audit(given=[torch.randn(4, 6)] * 3), r"batches: minibatch 0 must be a pair .*, got Tensor"),
    "three": (lambda: audit(given=[(1, 2, 3)] * 3), r"batches: minibatch 0 must be a pair .*, got 3 entries"),
    "unknown": (lambda: audit(strategies=["chekpoint"]), "unknown strategy 'chekpoint': .*did you mean 'checkpoint'?"),
    "no strategy": (lambda: audit(strategies=[3]), r"strategies: 3 is no strategy: it needs a name and applied_to"),
    "none": (lambda: audit(strategies=["stored"]), "strategies: none is given; allowed are stored, "),
    "twice": (lambda: audit(strategies=["offload", "offload"]), "strategies: two are called 'offload'"),
    "own random numbers": (
        lambda: audit(Odd(lambda y, x: y * torch.rand(y.shape, generator=own_stream))),
        "model: two stored passes over the same minibatch .* differ by .* of the gradient, most in layer.weight",
    ),
    "writes into its input": (
        lambda: audit(Odd(lambda y, x: (y, x.data.mul_(0.5))[0])),
        "model: it writes into its inputs, so that no step can be repeated",
    ),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")  # of a test's own model
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence(mistake: str) -> None:
    call, sentence = MISTAKES[mistake]
    with pytest.raises(UsageError, match=sentence) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_model_of_norms_and_biases_has_the_verdict_of_those() -> None:
    found = audit(nn.Sequential(nn.BatchNorm1d(6), nn.ReLU()))
    assert found.verdicts == {"checkpoint": "exact"}
    assert set(found.gradients["parameter"]) == {"0.weight", "0.bias"}


def test_an_audit_below_no_grad_measures_gradients() -> None:
    with torch.no_grad():
        assert audit().verdicts == {"checkpoint": "exact"}
        assert not torch.is_grad_enabled()
