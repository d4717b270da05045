"""One step with a strategy that runs the code of others, before anything is measured: its failure is its own.

First in a process of its own, where a crash ends that process alone; then here, where an exception is the strategy's
result. Without this a package that raises or crashes would take the other strategies' rows of its cell with it.
"""

from __future__ import annotations

import copy
import os
import signal
import warnings
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._pytree import tree_map

from gradbench.measure.batch import Batch, Loss, call
from gradbench.measure.gradients import gradients_of, preserved
from gradbench.measure.out_of_memory import out_of_memory_in_short
from gradbench.strategies.base import Strategy

__all__ = ["Failure", "in_one_line", "try_step", "why_excluded"]

#: After which the process of its own is ended.
_LONGEST_SECONDS = 120


class Failure(NamedTuple):
    """Why a strategy could not make a step: the status of its row, and the reason in one sentence."""

    status: str
    reason: str


def try_step(model: nn.Module, strategy: Strategy, batch: Batch, loss: Loss = F.cross_entropy) -> Failure | None:
    """Return why a step of `strategy` fails, or None. The model, its gradients and all random streams stay as they are.

    The process of its own is forked, and works on a CPU: a crash on a GPU alone is not foreseen.
    """
    name = _signal_of_a_step(model, strategy, batch, loss)
    if name == "SIGALRM":
        return Failure("error", f"one step, tried in a process of its own, did not end within {_LONGEST_SECONDS} s")
    if name is not None:
        return Failure("error", f"killed by {name}: one step was tried in a process of its own, which crashed")
    try:
        with preserved(model):
            gradients_of(model, strategy, batch, loss)
    except torch.OutOfMemoryError as error:
        return Failure("oom", f"one step was tried: {out_of_memory_in_short(error)}")
    except Exception as error:
        return Failure("error", f"one step was tried: {in_one_line(error)}")
    return None


def why_excluded(model: nn.Module, strategy: Strategy, batch: Batch) -> str | None:
    """Return why `strategy` cannot be applied to the model, or would change nothing of it; None where neither is so.

    One forward pass may be run. The model and all random streams stay as they are.
    """
    if reason := strategy.applies_to(model):
        return reason
    with preserved(model):
        return strategy.finds_nothing(model, partial(call, model, batch[0]))


def _signal_of_a_step(model: nn.Module, strategy: Strategy, batch: Batch, loss: Loss) -> str | None:
    """Return the name of the signal that ends a process that tries it on a CPU, or None when none does."""
    if next(model.parameters()).device.type != "cpu":
        model = copy.deepcopy(model).cpu()
        batch = tree_map(lambda leaf: leaf.cpu() if isinstance(leaf, torch.Tensor) else leaf, batch)
        if strategy.applies_to(model):
            return None  # it is for a GPU alone
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads, none of which it needs
        child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(_LONGEST_SECONDS)
            torch.set_num_threads(1)
            gradients_of(model, strategy, batch, loss)
        finally:
            os._exit(0)  # an exception is met again where it can be told
    status = os.waitpid(child, 0)[1]
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else None


def in_one_line(error: Exception) -> str:
    """Return type, text and innermost place."""
    place = ""
    trace = error.__traceback__
    while trace is not None:
        place = f" ({Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno})"
        trace = trace.tb_next
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"
