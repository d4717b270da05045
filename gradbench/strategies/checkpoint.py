"""Each segment keeps its input and runs again in the backward pass: exact, for about one more forward pass."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import nn

from gradbench.invertible import Chain, State, storing
from gradbench.invertible.state import as_output, as_state
from gradbench.strategies.base import Strategy
from gradbench.strategies.forward import forward_replaced
from gradbench.strategies.recompute import blocks, has_parameters, plainly, recomputed, sequences

__all__ = ["Checkpoint", "segments"]


class Checkpoint(Strategy):
    """Gradient checkpointing of the model's outermost chains and sequences, in segments of some blocks each.

    A block is a part with parameters. Parts without any are run again where they lie between two blocks of a segment.
    The recomputation draws the same random numbers, and starts from the buffers that the blocks had before their first
    run, and moves none: plain checkpointing would move the running statistics of batch norm twice. Exact bit for bit.
    A subclass of `nn.Sequential` with a `forward` of its own has segments of one block.

    Source: Chen et al., Training deep nets with sublinear memory cost; "sqrt" is its section 4.3.

    Args:
        length: blocks of a segment, or "sqrt": the rounded square root of the number of all blocks.
    """

    def __init__(self, length: int | str | None = None) -> None:
        self.length = length

    @property
    def name(self) -> str:
        return "checkpoint" if self.length is None else f"checkpoint:{self.length}"

    def applies_to(self, model: nn.Module) -> str | None:
        if blocks(model):
            return None
        return f"{type(model).__name__} has no chain or nn.Sequential whose parts could be checkpointed"

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        length = round(math.sqrt(len(blocks(model)))) if self.length == "sqrt" else int(self.length or 1)
        with storing(model), ExitStack() as replaced:
            for sequence in sequences(model):
                runs = segments(sequence, length)
                for run in runs:
                    if len(run) == 1 and has_parameters(run[0]):
                        replaced.enter_context(_as_one_block(run[0]))
                if any(len(run) > 1 for run in runs):
                    replaced.enter_context(forward_replaced(sequence, partial(_in_runs, sequence, runs)))
            yield

    def on_parts(self) -> Strategy:
        """Return the strategy that checkpoints any module as one block."""
        return _OneBlock()


class _OneBlock(Checkpoint):
    """Checkpointing of a module as a whole."""

    def applies_to(self, model: nn.Module) -> None:
        return None

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        with storing(model), _as_one_block(model):
            yield


def segments(sequence: nn.Module, length: int) -> list[list[nn.Module]]:
    """Return the parts of a chain or `nn.Sequential` in order: segments, and between them single parts."""
    if type(sequence).forward not in (nn.Sequential.forward, Chain.forward):
        length = 1
    runs: list[list[nn.Module]] = []
    between: list[nn.Module] = []
    inside = length
    for part in sequence._modules.values():
        assert part is not None, type(sequence)
        if not has_parameters(part):
            between.append(part)
            continue
        if inside < length:
            runs[-1] += [*between, part]
            inside += 1
        else:
            runs += [*([other] for other in between), [part]]
            inside = 1
        between = []
    return runs + [[part] for part in between]


def _as_one_block(block: nn.Module) -> Any:
    return forward_replaced(block, partial(recomputed, [block], block.forward, plainly))


def _in_runs(sequence: nn.Module, runs: list[list[nn.Module]], *x: Any) -> Any:
    """Return the sequence's output; runs of several parts are run again in the backward pass."""
    for run in runs:
        several = partial(_one_after_the_other, run, isinstance(sequence, Chain))
        x = several(*x) if len(run) == 1 else recomputed(run, several, plainly, *x)
    return as_output(x) if isinstance(sequence, Chain) else x[0]


def _one_after_the_other(run: list[nn.Module], chained: bool, *x: Any) -> State:
    for part in run:
        x = as_state(part(*x)) if chained else (part(*x),)
    return x
