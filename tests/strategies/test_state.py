"""A step with a strategy leaves behind what a stored step leaves: buffers, random stream, the caller's tensors."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from gradbench.measure.memory import LiveStorages, step_memory
from gradbench.models import MODELS
from gradbench.strategies import STRATEGIES
from gradbench.strategies.base import Strategy
from tests.models.networks import images, loss, with_dropout
from tests.strategies.subjects import EXACT, SPECS, over, relative, step, stored_and, subject

STORED = STRATEGIES.create("stored")
#: Naive quantisation changes the forward pass, and with it the statistics; parts of a minibatch have their own.
SAME_FORWARD = [spec for spec in SPECS if not spec.startswith(("naive", "accumulate"))]


@over(SAME_FORWARD)
def test_buffers_are_those_of_stored_training_bit_for_bit(name: str, strategy: Strategy) -> None:
    model = subject(name)
    twin, _, _ = stored_and(model, strategy)
    for key, buffer in model.named_buffers():
        assert torch.equal(buffer, twin.get_buffer(key)), key
        if key.endswith("num_batches_tracked"):
            assert buffer == 1


@over(EXACT)
def test_dropout_is_replayed_and_the_random_stream_goes_on_as_if_it_ran_once(name: str, strategy: Strategy) -> None:
    model = with_dropout(subject(name)).double()
    after = []
    twin, stored, found = stored_and(model, strategy, around=lambda: _Remembering(after))
    assert torch.equal(after[0], after[1])
    assert torch.equal(after[1], torch.get_rng_state())
    assert relative(found, stored) < 1e-9
    for key, buffer in model.named_buffers():
        assert torch.equal(buffer, twin.get_buffer(key)), key


class _Remembering(AbstractContextManager[None]):
    """Note the state of the random generator where the context ends."""

    def __init__(self, states: list[Tensor]) -> None:
        self.states = states

    def __exit__(self, *_: object) -> None:
        self.states.append(torch.get_rng_state())


class _Convolutions(TorchDispatchMode):
    """Notes the dtypes of every convolution's tensors, forward, again, and backward."""

    def __init__(self) -> None:
        super().__init__()
        self.dtypes: set[torch.dtype] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN204
        if "convolution" in func.overloadpacket.__name__:
            self.dtypes |= {tensor.dtype for tensor in args if isinstance(tensor, Tensor)}
        return func(*args, **(kwargs or {}))


@over([spec for spec in EXACT if spec != "stored"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_backward_pass_has_the_autocast_of_the_forward_pass(
    name: str, strategy: Strategy, dtype: torch.dtype
) -> None:
    torch.manual_seed(3)
    model, (x,) = subject(name, 1), images(8, dtype=torch.float32)
    around = partial(torch.autocast, x.device.type, dtype)
    with _Convolutions() as seen:
        twin, stored, found = stored_and(model, strategy, x, around)
    assert seen.dtypes == {dtype}
    for key, gradient in stored.items():
        # The mantissa has 8 or 11 bits, and rounding is amplified through the layers: the direction is right.
        assert found[key].dtype == gradient.dtype == torch.float32
        assert torch.cosine_similarity(found[key].flatten(), gradient.flatten(), dim=0) > 0.8, key
    with strategy.applied_to(model), around():
        scores = model(x)
    with STORED.applied_to(twin), around():
        assert twin(x).dtype == scores.dtype
    with _Convolutions() as seen:
        step(model, strategy, x)
    assert seen.dtypes == {torch.float32}


@over(SPECS)
def test_nothing_of_the_caller_is_written_to(name: str, strategy: Strategy) -> None:
    model, (x,) = subject(name), images(4, dtype=torch.float32)
    before, version = x.clone(), x._version
    step(model, strategy, x)
    with torch.no_grad(), strategy.applied_to(model):
        model(x)
        model.eval()
        model(x)
    with torch.inference_mode(), strategy.applied_to(model):
        model(x)
    assert torch.equal(x, before)
    assert x._version == version


@over([spec for spec in SPECS if spec != "decoupled"])  # its synthesizers stay
def test_nothing_is_held_after_the_backward_pass(name: str, strategy: Strategy) -> None:
    model, (x,) = with_dropout(subject(name)), images(4, dtype=torch.float32)
    with strategy.applied_to(model):
        assert step_memory(model, (x,), lambda: loss(model(x))).left == 0


@over([spec for spec in SPECS if spec != "decoupled"])
def test_nothing_is_held_when_the_scores_are_dropped(name: str, strategy: Strategy) -> None:
    model, (x,) = subject(name), images(4, dtype=torch.float32)
    with strategy.applied_to(model), LiveStorages() as live:
        live.ignore(*model.parameters(), *model.buffers(), x)
        scores = model(x)
        assert live.now > scores.untyped_storage().nbytes()
        del scores
        assert live.now == 0


@over([spec for spec in EXACT if spec not in ("stored", "offload")], tuple(MODELS))
def test_between_the_passes_less_is_kept_than_by_stored_training(name: str, strategy: Strategy) -> None:
    model, (x,) = subject(name, 6), images(32, dtype=torch.float32)

    def saved(strategy: Strategy) -> int:
        with strategy.applied_to(model):
            return step_memory(model, (x,), lambda: loss(model(x))).saved

    assert saved(strategy) < {"reconstruct": 0.3, "checkpoint": 0.6}.get(strategy.name, 0.8) * saved(STORED)
