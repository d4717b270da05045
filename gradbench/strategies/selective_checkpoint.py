"""Checkpointing that keeps what is dear to compute again: the outputs of convolutions and matrix products."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import CheckpointPolicy, create_selective_checkpoint_contexts

from gradbench.invertible import storing
from gradbench.strategies.base import Strategy
from gradbench.strategies.forward import forward_replaced
from gradbench.strategies.recompute import blocks, recomputed

__all__ = ["SelectiveCheckpoint"]

_aten = torch.ops.aten
_PRODUCTS = frozenset(
    {
        _aten.convolution.default,
        _aten.mm.default,
        _aten.addmm.default,
        _aten.bmm.default,
        _aten.baddbmm.default,
        _aten._scaled_dot_product_efficient_attention.default,
        _aten._scaled_dot_product_flash_attention.default,
        _aten._scaled_dot_product_flash_attention_for_cpu.default,
    }
)


class SelectiveCheckpoint(Strategy):
    """Torch's selective activation checkpointing of every block that `checkpoint` would checkpoint.

    What is kept are a block's input and the outputs of its convolutions, matrix products and attention, or of every
    second of them; norms, activations and sums are run again. Exact bit for bit, with the random numbers and buffers of
    `checkpoint`. Activation modules that work in place do not in the context, since they would overwrite what is kept.
    Torch allows one backward pass through what it has kept, and none that is differentiated again.

    Source: torch.utils.checkpoint.create_selective_checkpoint_contexts; Chen et al., Training deep nets with sublinear
    memory cost, section 4.2 (drop the results of operations that are cheap to compute).

    Args:
        policy: None to keep all products, "every-second" to keep the second, fourth, ... of each block.
    """

    def __init__(self, policy: str | None = None) -> None:
        self.policy = policy

    @property
    def name(self) -> str:
        return "selective-checkpoint" + (f":{self.policy}" if self.policy else "")

    def applies_to(self, model: nn.Module) -> str | None:
        if blocks(model):
            return None
        return f"{type(model).__name__} has no chain or nn.Sequential whose parts could be checkpointed"

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        def contexts() -> Any:
            return create_selective_checkpoint_contexts(_every_second() if self.policy else _all_products)

        with storing(model), ExitStack() as changed:
            for block in blocks(model):
                for part in block.modules():
                    if getattr(part, "inplace", False) is True:
                        changed.callback(setattr, part, "inplace", True)
                        part.inplace = False
                again = partial(recomputed, [block], block.forward, contexts)
                changed.enter_context(forward_replaced(block, again))
            yield


def _all_products(context: Any, operation: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    return CheckpointPolicy.MUST_SAVE if operation in _PRODUCTS else CheckpointPolicy.PREFER_RECOMPUTE


def _every_second() -> Callable[..., CheckpointPolicy]:
    """Return a policy for one run of a block, and its repetition."""
    products: Counter[bool] = Counter()

    def policy(context: Any, operation: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
        if operation not in _PRODUCTS:
            return CheckpointPolicy.PREFER_RECOMPUTE
        products[context.is_recompute] += 1
        second = products[context.is_recompute] % 2 == 0
        return CheckpointPolicy.MUST_SAVE if second else CheckpointPolicy.PREFER_RECOMPUTE

    return policy
