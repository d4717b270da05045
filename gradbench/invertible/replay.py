"""Run a module now and again later: the second run moves no buffer, and draws the random numbers of the first.

Of a module's first run only this is kept: the state of the random generators, if it drew from them, and the buffers
that it changed, as they were. Running statistics of batch norms are left alone instead, since they have no influence
on the output in training.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.instancenorm import _InstanceNorm

from gradbench.invertible.state import LayerError, Memo, State, as_state

__all__ = ["frozen_statistics", "record", "replayed"]

#: Layers without buffers and random numbers, run often enough for their recording to cost time.
_PURE = frozenset({nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.ReLU, nn.LeakyReLU, nn.Identity})


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


def _buffers(module: nn.Module) -> list[tuple[nn.Module, str, Tensor]]:
    """Return the buffers that a run may change and that `frozen_statistics` does not look after."""
    return [
        (part, name, buffer)
        for part in module.modules()
        if part._buffers and not _tracks(part)
        for name, buffer in part._buffers.items()
        if buffer is not None
    ]


def _devices(x: State) -> list[torch.device]:
    return sorted({tensor.device for tensor in x if tensor.device.type != "cpu"}, key=str)


def _random_state(x: State) -> tuple[Tensor, ...]:
    """Return the state of the CPU's random generator and of those of the devices that hold `x`."""
    states = [torch.get_device_module(device).get_rng_state(device) for device in _devices(x)]
    return (torch.get_rng_state(), *states)


def _set_random_state(x: State, states: tuple[Tensor, ...]) -> None:
    torch.set_rng_state(states[0])
    for device, state in zip(_devices(x), states[1:], strict=True):
        torch.get_device_module(device).set_rng_state(state, device)


def record(module: nn.Module, x: State) -> tuple[State, Memo]:
    """Run `module` and return its output and the memo with which `replayed` repeats the run.

    Raises:
        LayerError: the module overwrites its input.
    """
    if type(module) in _PURE:
        return as_state(module(*x)), None
    versions = [tensor._version for tensor in x]
    before = _random_state(x)
    buffers = [(part, name, buffer, buffer._version, buffer.clone()) for part, name, buffer in _buffers(module)]
    y = as_state(module(*x))
    if versions != [tensor._version for tensor in x]:
        raise LayerError(f"{type(module).__name__} overwrites its input, which has to be rebuilt: use inplace=False")
    drew = any(not torch.equal(old, new) for old, new in zip(before, _random_state(x), strict=True))
    changed = tuple(
        (index, copy)
        for index, (part, name, buffer, version, copy) in enumerate(buffers)
        if part._buffers[name] is not buffer or buffer._version != version
    )
    return y, (before if drew else None, changed) if drew or changed else None


@contextmanager
def replayed(module: nn.Module, x: State, memo: Memo) -> Iterator[None]:
    """Make what runs inside repeat the run that `record` gave `memo` for, and leave no trace of it."""
    if type(module) in _PURE:
        yield
        return
    states, changed = memo or (None, ())
    after = None if states is None else _random_state(x)
    buffers = _buffers(module)
    replaced = [(*buffers[index], copy) for index, copy in changed]
    for part, name, _, copy in replaced:
        part._buffers[name] = copy.clone()
    if states is not None:
        _set_random_state(x, states)
    try:
        with frozen_statistics(module):
            yield
    finally:
        for part, name, buffer, _ in replaced:
            part._buffers[name] = buffer
        if after is not None:
            _set_random_state(x, after)
