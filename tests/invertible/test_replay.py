"""What a recomputation must not do: draw other random numbers, move a buffer, move the random stream."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from gradbench.invertible import AdditiveCoupling, Chain
from gradbench.invertible.replay import record, replayed
from tests.invertible.oracle import same_as_stored, state


def convolution() -> nn.Conv2d:
    return nn.Conv2d(4, 4, 3, padding=1, bias=False)


def test_dropout_uses_the_same_mask_and_the_stream_goes_on_as_if_it_ran_once() -> None:
    def block() -> AdditiveCoupling:
        return AdditiveCoupling(nn.Sequential(convolution(), nn.Dropout(0.5)), nn.Dropout2d(0.5))

    assert same_as_stored(Chain(block(), block()).double(), state(4, 4, 5, 5))


def test_branches_with_buffers_of_their_own() -> None:
    def branch() -> nn.Sequential:
        return nn.Sequential(
            spectral_norm(convolution()),
            nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
            spectral_norm(convolution()),
            nn.BatchNorm2d(4, momentum=None),
        )

    assert same_as_stored(Chain(AdditiveCoupling(branch(), branch())).double(), state(4, 4, 5, 5))


def test_a_second_backward_pass_replays_the_same_run() -> None:
    branch = nn.Sequential(spectral_norm(convolution()), nn.Dropout(0.5))
    model, x = Chain(AdditiveCoupling(branch, branch)).double(), state(4, 4, 5, 5)
    loss = sum(tensor.pow(3).sum() for tensor in model(*x))
    first = torch.autograd.grad(loss, x, retain_graph=True)
    assert all(torch.equal(a, b) for a, b in zip(first, torch.autograd.grad(loss, x), strict=True))


def test_a_buffer_that_is_replaced_and_decides_the_output() -> None:
    class Drift(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("steps", torch.ones(()))
            self.register_buffer("nothing", None)

        def forward(self, x: Tensor) -> Tensor:
            self.steps = self.steps + 1
            return torch.tanh(x * self.steps)

    model = Chain(AdditiveCoupling(Drift(), Drift()))
    assert same_as_stored(model, state(4, 4, 5, 5))
    assert float(next(iter(model)).f.steps) == 2


def test_what_is_remembered_is_only_what_is_needed() -> None:
    x = (torch.randn(2, 4, 5, 5),)
    _, (modes, random, changed) = record(nn.Sequential(convolution(), nn.BatchNorm2d(4), nn.Dropout(0.0)).eval(), x)
    assert (modes, random, changed) == ((False,) * 4, None, ())
    _, (_, random, _) = record(nn.Dropout(0.5), x)
    assert random is not None


def test_an_exception_in_a_replay_restores_everything() -> None:
    module = nn.Sequential(nn.BatchNorm2d(4), nn.Dropout(0.5))
    x = (torch.randn(2, 4, 5, 5),)
    _, memo = record(module, x)
    module.eval()
    before = torch.get_rng_state()
    try:
        with replayed(module, x, memo):
            assert module[1].training
            raise KeyError
    except KeyError:
        pass
    assert torch.equal(before, torch.get_rng_state())
    assert not module[1].training
    assert module[0].track_running_stats
