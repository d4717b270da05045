"""Strategies in the surroundings that a training script has: other modes, layouts, copies, compilers and processes."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gradbench.strategies import STRATEGIES
from gradbench.strategies.base import Strategy
from tests.models.networks import images, loss
from tests.strategies.subjects import EXACT, SPECS, over, relative, step, stored_and, subject
from tests.strategies.two_processes import train

STORED = STRATEGIES.create("stored")
ROOT = Path(__file__).parents[2]


@over(EXACT)
def test_evaluation_mode(name: str, strategy: Strategy) -> None:
    model = subject(name).double()
    for _ in range(2):
        model(images(4)[0])  # moves the running statistics
    before = [buffer.clone() for buffer in model.buffers()]
    _, stored, found = stored_and(model.eval(), strategy)
    assert relative(found, stored) < 1e-9
    assert all(torch.equal(a, b) for a, b in zip(model.buffers(), before, strict=True))


@over([spec for spec in SPECS if not spec.startswith("naive")])
@pytest.mark.parametrize("training", [True, False])
def test_without_gradients_the_scores_are_the_same_bit_for_bit(name: str, strategy: Strategy, training: bool) -> None:
    model, (x,) = subject(name).train(training), images(4, dtype=torch.float32)
    with STORED.applied_to(model):
        stored = model(x)
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode, strategy.applied_to(model):
            scores = model(x)
        assert torch.equal(scores, stored)
        assert not scores.requires_grad
    with strategy.applied_to(model):
        assert torch.equal(model(x), stored)


@over(EXACT)
def test_channels_last(name: str, strategy: Strategy) -> None:
    model = subject(name).double().to(memory_format=torch.channels_last)
    x = images(4)[0].to(memory_format=torch.channels_last)
    _, stored, found = stored_and(model, strategy, x)
    assert relative(found, stored) < 1e-9


@over(EXACT)
def test_copies_pickles_and_state_dicts_are_the_same_model(name: str, strategy: Strategy) -> None:
    model, (x,) = subject(name, 2), images(4, dtype=torch.float32)
    step(model, strategy, x)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    loaded = subject(name, 2)
    loaded.load_state_dict(torch.load(file))
    twins = [copy.deepcopy(model), pickle.loads(pickle.dumps(model)), loaded]
    expected = step(model, strategy, x)
    for twin in twins:
        found = step(twin, strategy, x)
        assert all(torch.equal(found[key], expected[key]) for key in expected)  # type: ignore[arg-type]
        assert not {id(p) for p in twin.parameters()} & {id(p) for p in model.parameters()}


@over([spec for spec in EXACT if not spec.startswith("selective-checkpoint")])
def test_differentiating_twice_gives_the_stored_value_or_is_refused(name: str, strategy: Strategy) -> None:
    def penalty(strategy: Strategy) -> tuple[Tensor, ...]:
        with strategy.applied_to(model):
            gradients = torch.autograd.grad(loss(model(x)), list(model.parameters()), create_graph=True)
            return torch.autograd.grad(sum(g.square().sum() for g in gradients), list(model.parameters()))

    model, (x,) = subject(name).double(), images(4)
    stored = penalty(STORED)
    if strategy.name in ("reconstruct", "inplace-abn"):
        with pytest.raises(RuntimeError, match="a chain cannot be differentiated twice: use storing"):
            penalty(strategy)
    else:
        for mine, other in zip(penalty(strategy), stored, strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-9)


@over(EXACT)
def test_a_transform_of_torch_func_gives_the_stored_value_or_is_refused(name: str, strategy: Strategy) -> None:
    def transformed(strategy: Strategy) -> dict[str, Tensor]:
        with strategy.applied_to(model):
            return torch.func.grad(lambda weights: loss(torch.func.functional_call(model, weights, (x,))))(weights)

    model, (x,) = subject(name).double().eval(), images(4)
    weights = {key: parameter.detach() for key, parameter in model.named_parameters()}
    if strategy.name == "stored":
        assert relative(transformed(strategy), step(model, strategy, x)) < 1e-9
    else:
        with pytest.raises(RuntimeError, match="cannot be transformed by torch.func: use"):
            transformed(strategy)


# Compiling looks at .grad of tensors between two graphs, of which torch itself warns.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize(
    ("name", "spec"),
    [("revnet", "reconstruct")] + [("layerwise", spec) for spec in EXACT if spec != "stored"],
)
def test_a_compiled_model(name: str, spec: str) -> None:
    torch._dynamo.reset()
    strategy = STRATEGIES.create(spec)
    model, (x,) = subject(name, 2, pooling=("max",) if name == "revnet" else (), branch_layers=1).double(), images(4)
    twin = copy.deepcopy(model)
    stored = step(twin, STORED, x)
    compiled = torch.compile(model, backend="eager")
    with strategy.applied_to(model):
        loss(compiled(x)).backward()
    assert relative({key: parameter.grad for key, parameter in model.named_parameters()}, stored) < 1e-9
    for key, buffer in model.named_buffers():
        assert torch.equal(buffer, twin.get_buffer(key)), key


def test_two_processes(tmp_path: Path) -> None:
    """DistributedDataParallel gives both the mean of the gradients of their own images."""
    device = str(torch.get_default_device())
    command = [sys.executable, "-m", "tests.strategies.two_processes", "1", tmp_path / "store", device]
    other = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        train(0, tmp_path / "store")
    finally:
        output = other.communicate(timeout=60)[0]
    assert other.returncode == 0, output
