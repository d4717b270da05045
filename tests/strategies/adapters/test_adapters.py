"""Adapters: what they say when there is nothing to adapt, and that the code which runs is the package's.

What packages get wrong is no failure here: it is what gradbench measures. Their tests run where they are installed.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gradbench.errors import UsageError
from gradbench.invertible import AdditiveCoupling, Chain, SplitChannels
from gradbench.strategies import STRATEGIES
from gradbench.strategies.adapters.adapter import Adapter
from gradbench.strategies.adapters.couplings import couplings
from tests.strategies.subjects import relative, step, stored_and, subject

NAMES = [name for name, entry in STRATEGIES.items() if ".adapters." in entry.target]
COUPLINGS = ["memcnn", "revtorch", "revlib", "group-add-rev"]
#: What a package makes of its tensors, said by torch and by the packages themselves.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")

#: A reversible library in miniature, right in everything, that counts its runs.
LIBRARY = """
import torch
from torch import nn

RUNS = []

class AdditiveCoupling(nn.Module):
    def __init__(self, f, g, implementation_fwd, implementation_bwd):
        super().__init__()
        self.f, self.g = f, g

    def forward(self, x):
        RUNS.append(x.shape)
        x1, x2 = x.chunk(2, 1)
        y1 = x1 + self.f(x2)
        return torch.cat([y1, x2 + self.g(y1)], 1)

def InvertibleModuleWrapper(coupling):
    return coupling
"""


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package named memcnn, in a folder of its own before all others."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "memcnn", raising=False)
    (tmp_path / "memcnn.py").write_text(LIBRARY)
    yield tmp_path
    sys.modules.pop("memcnn", None)


@pytest.mark.parametrize("name", NAMES)
def test_an_absent_package_is_named_with_what_installs_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    strategy: Adapter = STRATEGIES.create(name)
    monkeypatch.setattr("gradbench.strategies.adapters.adapter.find_spec", lambda package: None)
    reason = strategy.applies_to(subject("revnet"))
    assert reason == f"{strategy.package} is not installed: pip install {strategy.installed_as}"


@pytest.mark.parametrize("name", NAMES)
def test_the_table_knows_what_installs_it(name: str) -> None:
    assert STRATEGIES[name].distribution == STRATEGIES.create(name).installed_as


@pytest.mark.parametrize("name", NAMES)
def test_a_model_without_a_part_for_it_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradbench.strategies.adapters.adapter.find_spec", lambda package: package)
    reason = STRATEGIES.create(name).applies_to(nn.Linear(3, 4))
    assert reason is not None
    assert reason.startswith("Linear has no ")


def test_couplings_that_follow_each_other_are_one_sequence() -> None:
    model = subject("revnet", 7)
    names = {id(module): name for name, module in model.named_modules()}
    found = [[names[id(block)] for block in run] for run in couplings(model)]
    assert found == [
        ["chain0.block0", "chain0.block1"],
        ["chain1.block2", "chain1.block3", "chain1.block4"],
        ["chain2.block5", "chain2.block6"],
    ]
    assert couplings(subject("hybrid")) == couplings(subject("layerwise")) == []


def test_a_coupling_that_is_used_twice_stays_the_models() -> None:
    block, other = (AdditiveCoupling(nn.Linear(3, 3), nn.Linear(3, 3)) for _ in range(2))
    assert couplings(Chain(SplitChannels(2), block, other, block)) == [[other]]


def test_the_librarys_code_runs_on_the_models_own_modules(library: Path) -> None:
    model = subject("revnet", 7)
    _, stored, found = stored_and(model, STRATEGIES.create("memcnn"))
    assert relative(found, stored) < 1e-5
    assert len(sys.modules["memcnn"].RUNS) == 7
    assert [name for name, _ in model.named_parameters()] == list(stored)


def test_the_librarys_code_runs_on_a_single_block(library: Path) -> None:
    model = subject("revnet", 7)
    block = model.get_submodule("chain1.block3")
    assert relative(step(model, _On(block), _x()), step(model, STRATEGIES.create("stored"), _x())) < 1e-5
    assert len(sys.modules["memcnn"].RUNS) == 1


def test_unequal_halves_are_refused(library: Path) -> None:
    model = Chain(AdditiveCoupling(nn.Linear(4, 3), nn.Linear(3, 4)))
    with STRATEGIES.create("memcnn").applied_to(model), pytest.raises(UsageError, match=r"got \(2, 3\) and \(2, 4\)"):
        model(torch.randn(2, 3), torch.randn(2, 4))


class _On:
    """A strategy on one part of a model, whatever model it is given."""

    chunks = 1

    def __init__(self, part: nn.Module) -> None:
        self.part = part

    def applied_to(self, model: nn.Module) -> object:
        return STRATEGIES.create("memcnn").applied_to(self.part)


def _x() -> Tensor:
    torch.manual_seed(3)
    return torch.randn(4, 3, 8, 8)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["revnet", "plain"])
def test_a_real_package_leaves_the_model_as_it_was(name: str, kind: str) -> None:
    strategy: Adapter = STRATEGIES.create(name)
    pytest.importorskip(strategy.package)
    model = subject(kind, 5)
    if reason := strategy.applies_to(model):
        pytest.skip(reason)
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    forwards = {m: m.forward for m in model.modules()}
    _, stored, found = stored_and(model, strategy)
    assert relative(found, stored) < 1e-3
    assert hooks == [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    assert all(m.forward == forward and "forward" not in vars(m) for m, forward in forwards.items())


def test_ckptplan_runs_the_parts_that_its_plan_chooses_and_plans_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ckptplan = pytest.importorskip("ckptplan")
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))
    strategy, x = STRATEGIES.create("ckptplan"), torch.randn(5, 4)
    on_a_gpu = None if x.is_cuda else "ckptplan plans from activation memory, which it measures on a GPU alone"
    assert strategy.applies_to(model) == on_a_gpu
    measured, plans = ckptplan.profile_blocks, []

    def with_memory(*arguments: object, **named: object) -> tuple[object, ...]:
        plans.append(arguments)
        known = {"timing_only": False, "activation_bytes_method": "isolated_forward_delta"}
        profiles = measured(*arguments, **named)
        return tuple(replace(p, activation_bytes_estimate=100 * p.order, **known) for p in profiles)

    monkeypatch.setattr(ckptplan, "profile_blocks", with_memory)
    stored = step(model, STRATEGIES.create("stored"), x)
    step(model, strategy, x)
    runs: list[nn.Module] = []
    for part in model:
        part.register_forward_pre_hook(lambda part, inputs: runs.append(part))
    found = step(model, strategy, x)
    assert len(plans) == 1
    assert {part for part in runs if runs.count(part) == 2}  # what is chosen runs again in the backward pass
    assert all(torch.equal(found[name], gradient) for name, gradient in stored.items())
