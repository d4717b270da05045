"""A strategy that changes the model or raises late fails alone: what is found of all others is as without it."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradbench
from gradbench.auditing import Audit
from gradbench.auditing.untouched import untouched
from gradbench.errors import UsageError


class Network(nn.Module):
    """A network that keeps what a module may keep."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU()),
            nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(0.2)),
            nn.Linear(8, 3),
        )
        self.shift = torch.randn(8)
        self.scales: dict[str, Any] = {"inner": [1.5, 0.5], "last": deque([2.0])}
        self.skipped = {7}
        self.own = [nn.Linear(8, 8)]

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks[0](x) + self.shift
        x = self.blocks[1](self.own[0](x)) * sum(self.scales["inner"]) * self.scales["last"][0]
        return self.blocks[2](x) * len(self.skipped)


def batches(count: int = 4) -> list[tuple[Tensor, Tensor]]:
    return [(torch.randn(6, 6), torch.randint(3, (6,))) for _ in range(count)]


class Does:
    """A method that does something to the model before, and again after, the pass."""

    name = "does"

    def __init__(self, before: Callable[[Any], object] = id, after: Callable[[Any], object] = id) -> None:
        self.before, self.after = before, after

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        self.before(model)
        yield
        self.after(model)


def scaled_data(model: Any) -> None:
    model.blocks[0][0].weight.data = model.blocks[0][0].weight.data * 2


def rewritten_data(model: Any) -> None:
    model.blocks[0][0].weight.data.mul_(-1)


def reclassed(model: Any) -> None:
    model.blocks[0][2].__class__ = nn.Tanh


def unbuffered(model: Any) -> None:
    buffer = model.blocks[0][1].running_mean
    buffer.data = buffer.data.double()


#: What is done, and the name by which it is told.
LEFT: dict[str, tuple[Callable[[Any], object], str]] = {
    "other weights": (rewritten_data, "blocks.0.0.weight"),
    "weights elsewhere": (scaled_data, "blocks.0.0.weight"),
    "another parameter": (
        lambda model: setattr(model.blocks[0][0], "bias", nn.Parameter(torch.randn(8))),
        "blocks.0.0.bias",
    ),
    "a frozen parameter": (
        lambda model: model.blocks[0][0].weight.requires_grad_(False),
        "blocks.0.0.weight.requires_grad",
    ),
    "a hook of a tensor": (
        lambda model: model.blocks[0][0].weight.register_hook(lambda gradient: 3 * gradient),
        "blocks.0.0.weight._backward_hooks",
    ),
    "another mode": (lambda model: model.eval(), "training, blocks.training, blocks.0.training and 8 more"),
    "a hook": (
        lambda model: model.blocks[1].register_forward_hook(lambda module, inputs, output: 2 * output),
        "blocks.1._forward_hooks",
    ),
    "another module": (lambda model: model.blocks.__setitem__(1, nn.Linear(8, 8)), "blocks.1"),
    "another class": (reclassed, "blocks.0.2.__class__"),
    "another order": (
        lambda model: model.blocks._modules.update({"0": model.blocks._modules.pop("0")}),
        "blocks.the order of its members",
    ),
    "a buffer more": (lambda model: model.register_buffer("more", torch.randn(3)), "more"),
    "a buffer of another dtype": (unbuffered, "blocks.0.1.running_mean"),
    "a forward of its own": (lambda model: setattr(model.blocks[1], "forward", torch.sin), "blocks.1.forward"),
    "an attribute": (lambda model: setattr(model.blocks[0][1], "momentum", None), "blocks.0.1.momentum"),
    "an entry of a list": (lambda model: model.scales["inner"].append(3.0), "scales"),
    "an entry of a deque": (lambda model: model.scales["last"].appendleft(3.0), "scales"),
    "an entry of a dict": (lambda model: model.scales.pop("last"), "scales"),
    "an entry of a set": (lambda model: model.skipped.add(8), "skipped"),
    "a tensor that is no buffer": (lambda model: model.shift.mul_(3), "shift"),
    "a module that is no member": (lambda model: model.own[0].weight.data.mul_(3), "own.weight"),
}


def table(found: Audit, name: str, without: str) -> pd.DataFrame:
    frame = getattr(found, name)
    timed = ["step_seconds", "time_ratio", "wall_seconds"]
    return frame[frame["strategy"] != without].drop(columns=timed, errors="ignore").reset_index(drop=True)


def assert_alone(found: Audit, model: nn.Module, given: Any, others: list[Any], **options: Any) -> None:
    """What is found of all others is what is found without it."""
    without = gradbench.audit(model, F.cross_entropy, given, others, **options)
    assert set(without.verdicts.values()).isdisjoint({"error", "excluded"})
    for name in ("cells", "gradients", "activations", "state"):
        pd.testing.assert_frame_equal(table(found, name, "does"), table(without, name, "does"))


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("left", LEFT)
def test_a_strategy_that_leaves_the_model_changed_fails_alone(left: str, first: bool) -> None:
    change, name = LEFT[left]
    model, given, others = Network(), batches(), ["checkpoint", "saved-cast:bf16"]
    does = Does(after=change)
    found = gradbench.audit(model, F.cross_entropy, given, [does, *others] if first else [*others, does], cost=False)
    assert found.reasons == {"does": f"NotRestored: it leaves the model changed: {name}"}
    assert found.verdicts["does"] == "error"
    assert found.failed
    assert f"does: NotRestored: it leaves the model changed: {name}" in str(found)
    assert_alone(found, model, given, others, cost=False)
    with pytest.raises(UsageError, match="does cannot be explained: NotRestored: it leaves the model changed"):
        found.explain("does")


@pytest.mark.parametrize("left", LEFT)
def test_what_a_model_keeps_is_as_before(left: str) -> None:
    model = Network().train()
    model.requires_grad_(True)
    x = torch.randn(5, 6)
    before, parts = copy.deepcopy(model), [*model.modules()]
    with untouched(model):
        LEFT[left][0](model)
    assert [*model.modules()] == parts
    assert all(map(torch.equal, model.state_dict().values(), before.state_dict().values()))
    assert (model.scales, model.skipped) == (before.scales, before.skipped)
    outputs = []
    for one in (model, before):
        torch.manual_seed(3)
        outputs.append(one(x))
        outputs[-1].square().sum().backward()
    assert torch.equal(*outputs)
    for one, other in zip(model.parameters(), before.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)


def test_one_that_puts_everything_back_leaves_nothing() -> None:
    class Puts:
        name = "puts"

        @contextmanager
        def applied_to(self, model: Any) -> Iterator[None]:
            block, weight = model.blocks[1], model.blocks[0][0].weight
            forward, data = block.forward, weight.data
            hooks = [block.register_forward_hook(lambda *_: None), weight.register_hook(lambda _: None)]
            block.forward, weight.data = lambda x: forward(x), data.clone()
            model.scales = {**model.scales, "inner": [1.5, 0.5]}
            yield
            block.forward, weight.data = forward, data  # the class's own method, now an attribute
            for hook in hooks:
                hook.remove()

    found = gradbench.audit(Network(), F.cross_entropy, batches(), [Puts()], cost=False)
    assert found.verdicts == {"puts": "exact"}
    assert found.ok


class Counts(Network):
    """A network whose every pass moves what it keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.passes, self.seen, self.last = 0, [], torch.zeros(3)
        self.cache: dict[Any, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        self.seen.append(x.shape)
        self.cache[x.shape] = self.cache.get(x.shape, 0) + x.detach()
        y = super().forward(x)
        self.last = y.mean(0)
        return y


def test_what_stored_training_changes_itself_is_nobodys_fault() -> None:
    found = gradbench.audit(Counts(), F.cross_entropy, batches(), [Does(), "checkpoint"], cost_repeats=1)
    assert found.verdicts == {"does": "exact", "checkpoint": "exact"}
    assert found.ok


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")  # of a test's own model
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # of TorchScript, of its own accord
def test_a_part_of_torchscript_is_looked_at_too() -> None:
    model = nn.Sequential(torch.jit.script(nn.Linear(6, 8)), nn.ReLU(), nn.Sequential(nn.Linear(8, 3)))
    spoils = Does(after=lambda model: model[0].weight.data.neg_())
    found = gradbench.audit(model, F.cross_entropy, batches(), [spoils, "checkpoint"], cost=False)
    assert found.verdicts == {"does": "error", "checkpoint": "exact"}
    assert found.reasons["does"] == "NotRestored: it leaves the model changed: 0.weight"


class Late(Does):
    """A method that raises when it is applied, or in the backward pass, for the n-th time."""

    rebuilds = True

    def __init__(self, last: int = -1, where: str = "forward") -> None:
        self.last, self.where, self.count = last, where, 0

    @contextmanager
    def applied_to(self, model: Any) -> Iterator[None]:
        self.count += 1
        hook = model.blocks[0][0].weight.register_hook(self.raised if self.where == "backward" else lambda _: None)
        if self.where == "forward":
            self.raised(None)
        yield
        hook.remove()

    def raised(self, gradient: Tensor | None) -> None:
        if self.count == self.last:
            raise KeyError("planted")


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_a_strategy_that_raises_late_fails_alone(where: str) -> None:
    model, given, others = Network(), batches(), ["checkpoint", "saved-cast:bf16"]
    options: dict[str, Any] = {"cost_repeats": 2}
    counting = Late()
    gradbench.audit(model, F.cross_entropy, given, [counting], **options)
    total = counting.count
    assert total > 12
    for last in sorted({1, 2, total // 2, total - 6, total - 4, total - 3, total - 2, total - 1, total}):
        found = gradbench.audit(model, F.cross_entropy, given, [others[0], Late(last, where), others[1]], **options)
        assert found.verdicts["does"] == "error", (last, total)
        assert found.reasons == {"does": "KeyError: 'planted'"}
        assert "does" not in set(found.gradients["strategy"])
        assert found.failed
        assert_alone(found, model, given, others, **options)


@pytest.mark.parametrize("asked", ["applies_to", "finds_nothing", "notes"])
@pytest.mark.parametrize("does", ["raises", "changes"])
def test_what_is_asked_first_may_fail_too(asked: str, does: str) -> None:
    def answer(model: Any, *more: Any) -> None:
        if does == "raises":
            raise ValueError("planted")
        model.eval()

    strategy = Does()
    setattr(strategy, asked, answer)
    model, given = Network(), batches()
    found = gradbench.audit(model, F.cross_entropy, given, [strategy, "checkpoint"], cost=False)
    assert found.verdicts["does"] == "error"
    assert found.reasons["does"].startswith("ValueError: planted" if does == "raises" else "NotRestored: ")
    assert_alone(found, model, given, ["checkpoint"], cost=False)


def test_a_strategy_that_inherits_from_nothing_may_say_all_that_others_do() -> None:
    strategy = Does()
    strategy.notes = lambda model: [f"a note on {type(model).__name__}"]
    strategy.finds_nothing = lambda model, forward: None if forward().shape == (6, 3) else "nothing"
    strategy.chunks = 2
    found = gradbench.audit(Network(), F.cross_entropy, batches(), [strategy], cost=False)
    assert found.notes["does"] == ("a note on Network",)
    assert "buffers" in list(found.faults["check"])  # of a minibatch in two parts
    strategy.finds_nothing = lambda model, forward: "nothing to do"
    found = gradbench.audit(Network(), F.cross_entropy, batches(), [strategy], cost=False)
    assert found.reasons == {"does": "nothing to do"}


def test_what_is_held_after_a_step_is_printed() -> None:
    held: list[Tensor] = []

    class Holds(Does):
        @contextmanager
        def applied_to(self, model: Any) -> Iterator[None]:
            hook = model.blocks[0].register_forward_hook(lambda module, inputs, output: held.append(output.clone()))
            yield
            hook.remove()

    found = gradbench.audit(Network(), F.cross_entropy, batches(), [Holds()], cost=False)
    (line,) = [line for line in str(found).splitlines() if line.startswith("does: memory: ")]
    assert line.endswith("bytes are still held after the backward pass")
    assert not found.ok
