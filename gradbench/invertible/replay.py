"""Run a module now and again later: the second run moves no buffer, and draws the random numbers of the first.

Of a module's first run only this is kept: which of its parts were training, the state of the random generators if it
drew from them, and the buffers that it changed, as they were. Running statistics of batch norms are left alone instead,
since they have no influence on the output in training.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.modules.module import _global_forward_hooks

from gradbench.invertible.state import LayerError, Memo, Owned, State, as_state

__all__ = ["frozen_statistics", "record", "replayed", "run_again"]


#: Layers without buffers and random numbers, run so often that their recording would cost time.
_PURE = frozenset({nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Identity, nn.LeakyReLU, nn.Linear, nn.ReLU, nn.Tanh})


def _is_pure(module: nn.Module) -> bool:
    """Return whether running the module again needs no care, unless it overwrites its input."""
    hooked = module._forward_hooks or module._forward_pre_hooks or _global_forward_hooks
    return type(module) in _PURE and not hooked and not getattr(module, "inplace", False)


def _tracks(module: nn.Module) -> bool:
    """Return whether a batch norm would move its running statistics unless it is told not to track them."""
    tracks = module.training and bool(getattr(module, "track_running_stats", False))
    return tracks and not isinstance(module, _InstanceNorm)


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Keep every batch norm inside `module` from moving its running statistics."""
    norms = [part for part in module.modules() if _tracks(part)]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def _buffers(module: nn.Module) -> list[tuple[nn.Module, str]]:
    """Return where the module's buffers are."""
    return [(part, name) for part in module.modules() for name in part._buffers]


def _random_devices(x: State) -> list[torch.device]:
    return sorted({tensor.device for tensor in x if tensor.device.type != "cpu"}, key=str)


def _random_state(x: State) -> tuple[Tensor, ...]:
    """Return the state of the CPU's random generator and of those of the devices that hold `x`."""
    states = [torch.get_device_module(device).get_rng_state(device) for device in _random_devices(x)]
    return (torch.get_rng_state(), *states)


def _set_random_state(x: State, states: tuple[Tensor, ...]) -> None:
    torch.set_rng_state(states[0])
    for device, state in zip(_random_devices(x), states[1:], strict=True):
        torch.get_device_module(device).set_rng_state(state, device)


def record(module: nn.Module, x: State) -> tuple[State, Memo]:
    """Run `module` and return its output and the memo with which `replayed` repeats the run, None if it needs no care.

    Raises:
        LayerError: the module overwrites its input.
    """
    if _is_pure(module):
        return run_again(module, x), None
    versions = [tensor._version for tensor in x]
    random = _random_state(x)
    before = [
        (index, buffer, buffer._version, buffer.clone())
        for index, (part, name) in enumerate(_buffers(module))
        if not _tracks(part) and (buffer := part._buffers[name]) is not None
    ]
    y = as_state(module(*x))
    if versions != [tensor._version for tensor in x]:
        raise LayerError(f"{type(module).__name__} overwrites its input, which is needed again: use inplace=False")
    drew = any(not torch.equal(old, new) for old, new in zip(random, _random_state(x), strict=True))
    places = _buffers(module) if before else []
    changed = tuple(
        (index, copy)
        for index, buffer, version, copy in before
        if places[index][0]._buffers[places[index][1]] is not buffer or buffer._version != version
    )
    modes = tuple(part.training for part in module.modules())
    return y, (modes, random if drew else None, changed)


def run_again(module: nn.Module, x: State) -> State:
    """Return the output of a module that needs no care."""
    y = as_state(module(*x))
    return y if isinstance(module, nn.Identity) else Owned(y)


@contextmanager
def replayed(module: nn.Module, x: State, memo: Memo) -> Iterator[None]:
    """Make what runs inside repeat the run that `record` gave `memo` for, and leave no trace of it."""
    if memo is None:
        yield
        return
    modes, random, changed = memo
    parts = [(part, part.training, mode) for part, mode in zip(module.modules(), modes, strict=True)]
    places = _buffers(module) if changed else []
    buffers = [(places[index][0]._buffers, places[index][1], copy) for index, copy in changed]
    now = [(held, name, held[name]) for held, name, _ in buffers]
    after = None if random is None else _random_state(x)
    for part, _, mode in parts:
        part.training = mode
    for held, name, copy in buffers:
        held[name] = copy.clone()
    if random is not None:
        _set_random_state(x, random)
    try:
        with frozen_statistics(module):
            yield
    finally:
        for held, name, buffer in now:
            held[name] = buffer
        for part, mode, _ in parts:
            part.training = mode
        if after is not None:
            _set_random_state(x, after)
