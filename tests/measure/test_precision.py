"""Each arithmetic is what it says: in the forward pass, in recomputations, and in the truth it is held against."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from gradbench.case.expand import Cell
from gradbench.case.schema import Data, Measure, Model, Settings, Train
from gradbench.measure import cell, explain_cell, training
from gradbench.measure.cell import run_cell
from gradbench.measure.gradients import gradients_of, measure_gradients
from gradbench.measure.precision import (
    PRECISIONS,
    InPrecision,
    deterministic_convolutions,
    use_plain_float32,
    use_precision,
)
from gradbench.models.build import build
from gradbench.strategies.approximate import Approximate
from gradbench.strategies.base import Strategy
from gradbench.strategies.checkpoint import Checkpoint
from gradbench.strategies.reconstruct import Reconstruct
from gradbench.strategies.stored import Stored
from tests.open_gate import GATE

CPU = [PRECISIONS[name] for name in ("float64", "float32", "bfloat16")]


def network(dtype: torch.dtype) -> nn.Module:
    torch.manual_seed(0)
    return build(Model(name="hybrid", depth=2, width=8), classes=10, image_size=16).to(dtype)


def batches(count: int, dtype: torch.dtype) -> list:
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(8, 3, 16, 16, generator=generator).to(dtype), torch.randint(10, (8,), generator=generator))
        for _ in range(count)
    ]


@pytest.mark.parametrize("precision", CPU, ids=lambda precision: precision.name)
@pytest.mark.parametrize("strategy", [Stored(), Checkpoint(), Reconstruct(), Approximate(8)], ids=lambda s: s.name)
def test_convolutions_run_in_it_in_both_passes(precision, strategy: Strategy) -> None:  # noqa: ANN001
    model = network(precision.dtype)
    seen = set()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda module, x, y: seen.add(y.dtype))
    gradients_of(model, InPrecision(strategy, precision), batches(1, precision.dtype)[0])
    assert seen == {precision.autocast or precision.dtype}
    assert {parameter.grad.dtype for parameter in model.parameters()} == {precision.dtype}


@pytest.mark.parametrize("precision", CPU, ids=lambda precision: precision.name)
def test_recomputation_runs_under_the_same_arithmetic(precision) -> None:  # noqa: ANN001
    strategies = [InPrecision(strategy, precision) for strategy in (Stored(), Checkpoint(), Reconstruct())]
    minibatches = batches(3, precision.dtype)
    found = measure_gradients(
        network(precision.dtype), strategies[0], strategies, minibatches, 1, truth=strategies[0].strategy
    )
    assert all(errors.identical for name in ("stored", "checkpoint") for errors in found[name].gradients)
    worst = max(errors.rel_error for errors in found["reconstruct"].gradients)
    assert worst < {"float64": 1e-9, "float32": 0.05, "bfloat16": 2.0}[precision.name]
    # The truth is float64 whatever the arithmetic: stored training is as far from it as its dtype rounds.
    truth = torch.tensor([errors.rel_error_truth for errors in found["stored"].gradients]).median()
    low, high = {"float64": (0, 0), "float32": (1e-8, 1e-3), "bfloat16": (1e-3, 1.0)}[precision.name]
    assert low <= truth <= high


def test_a_scaled_loss_leaves_the_gradients_as_they_are() -> None:
    model, (batch,) = network(torch.float32), batches(1, torch.float32)
    plain = PRECISIONS["bfloat16"]
    scaled = type(plain)("scaled", autocast=plain.autocast, loss_scale=2.0**10)
    results = []
    for precision in (plain, scaled):
        gradients_of(model, InPrecision(Stored(), precision), batch)
        results.append([parameter.grad.clone() for parameter in model.parameters()])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert not any(parameter._backward_hooks for parameter in model.parameters())


def settled(precision: str = "float32", **train: Any) -> Cell:
    settings = Settings(
        model=Model(name="hybrid", depth=1, width=4, pooling=()),
        data=Data(name="digits", batch_size=8, image_size=8),
        train=Train(steps=2, precision=precision, evaluate_images=20, **train),
        measure=Measure(strategies=("reconstruct", "checkpoint"), sgd_batches=3, truth_batches=1, cost_repeats=1),
    )
    return Cell("0" * 12, "test", {}, 0, settings)


def run(precision: str, **train: Any) -> dict[str, list[dict]]:
    return run_cell(settled(precision, **train), None, "cpu", GATE, lambda text: None)


@pytest.mark.parametrize("precision", ["float64", "bfloat16"])
def test_a_cell_runs_in_it(precision: str) -> None:
    rows = run(precision)
    assert {row["status"] for row in rows["cells"]} == {"ok"}
    errors = {row["strategy"]: row["rel_error"] for row in rows["cells"]}
    assert errors["stored"] == errors["checkpoint"] == 0
    assert errors["reconstruct"] < 1e-9 if precision == "float64" else 1e-4 < errors["reconstruct"] < 2
    assert all(0 < row["measuring_share"] <= 1 for row in rows["cells"])


def switches() -> tuple[bool, bool]:
    return torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic


def test_a_cell_says_whether_convolutions_are_timed_and_the_next_does_not_inherit_it() -> None:
    try:
        for wanted in (True, False):
            use_precision(PRECISIONS["float32"], wanted)
            assert switches() == (wanted, not wanted)
    finally:
        use_plain_float32()


def test_errors_are_measured_in_deterministic_convolutions_and_training_goes_on_in_the_fastest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: dict[str, set] = {}

    def noting(name: str, real: Callable) -> Callable:
        def noted(*given: Any, **more: Any) -> Any:
            seen.setdefault(name, set()).add(switches())
            return real(*given, **more)

        return noted

    monkeypatch.setattr("gradbench.measure.cell.measure_cost", noting("cost", cell.measure_cost))
    monkeypatch.setattr("gradbench.measure.cell.measure_step", noting("errors", cell.measure_step))
    monkeypatch.setattr("gradbench.measure.training.take_step", noting("training", training.take_step))
    try:
        run("float32", cudnn_benchmark=True)
    finally:
        use_plain_float32()
    fastest, deterministic = (True, False), (False, True)
    assert seen == {"cost": {fastest}, "errors": {deterministic}, "training": {fastest}}


def test_what_was_chosen_is_chosen_again_after_an_error() -> None:
    use_precision(PRECISIONS["float32"], True)
    try:
        with pytest.raises(RuntimeError), deterministic_convolutions():
            torch.zeros(1).view(2)
        assert switches() == (True, False)
    finally:
        use_plain_float32()


def test_an_explanation_is_measured_in_deterministic_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(explain_cell, "explain", lambda *given, **more: seen.append(switches()))
    try:
        explain_cell.explain_cell(settled(cudnn_benchmark=True), "cpu", "reconstruct", 1, lambda text: None)
        assert seen == [(False, True)]
        assert switches() == (True, False)
    finally:
        use_plain_float32()


@pytest.mark.gpu
def test_the_fastest_convolutions_leave_no_trace_in_what_is_measured() -> None:
    use_precision(PRECISIONS["float32"], True)
    try:
        model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3, bias=False), nn.Conv2d(16, 4, 1)).cuda()
        x = torch.randn(32, 3, 16, 16, device="cuda")
        found = []
        for _ in range(2):
            with deterministic_convolutions():
                assert switches() == (False, True)
                model(x).square().sum().backward()
            found.append([parameter.grad for parameter in model.parameters()])
            model.zero_grad(set_to_none=True)
            model(x).square().sum().backward()  # searches, and fills the cache of what was found
            model.zero_grad(set_to_none=True)
        assert all(map(torch.equal, *found))
    finally:
        use_plain_float32()


@pytest.mark.parametrize("precision", ["tf32", "float16"])
def test_what_a_cpu_lacks_is_excluded_with_its_reason(precision: str) -> None:
    rows = run(precision)
    assert {row["status"] for row in rows["cells"]} == {"excluded"}
    assert all(precision in row["reason"] for row in rows["cells"])
    assert rows["gradients"] == rows["training"] == []
