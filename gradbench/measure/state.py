"""Fidelity is more than gradients: does one step leave every buffer as stored training does?"""

from __future__ import annotations

import torch
from torch import nn

from gradbench.measure.gradients import Batch, gradients_of, preserved
from gradbench.strategies.base import Strategy

__all__ = ["buffers_after_step", "changed_buffers"]


def buffers_after_step(model: nn.Module, strategy: Strategy, batch: Batch) -> dict[str, torch.Tensor]:
    """Return a copy of every buffer as one forward and backward pass under `strategy` leaves it; restore the model."""
    with preserved(model):
        gradients_of(model, strategy, batch)
        return {name: buffer.clone() for name, buffer in model.named_buffers()}


def changed_buffers(model: nn.Module, reference: Strategy, strategy: Strategy, batch: Batch) -> list[str]:
    """Return the names of the buffers that differ bitwise from stored training after one step.

    Batch-norm statistics that recomputation moves a second time are the commonest fault in the field.
    """
    stored = buffers_after_step(model, reference, batch)
    other = buffers_after_step(model, strategy, batch)
    return [name for name, value in stored.items() if not torch.equal(value, other[name])]
