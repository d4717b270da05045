"""How large a network is, and what the sources' arithmetic counts for a step of it."""

from __future__ import annotations

from typing import Any

from torch import nn

from gradbench.models.arithmetic import rebuilt_bytes, stored_bytes
from gradbench.models.network import StagedNetwork

__all__ = ["size"]


def size(model: nn.Module, strategy: str, pixels: int | None) -> dict[str, Any]:
    """Return the columns of `cells` that a network's plan decides.

    Args:
        model: the network.
        strategy: how activations are had; the sources count for `stored` and `reconstruct`.
        pixels: N * H * W of a minibatch; None where there are none.
    """
    parameters = list(model.parameters())
    weight_bytes = sum(parameter.nbytes for parameter in parameters)
    counted = _counted(model, strategy)
    return {
        "parameter_count": sum(parameter.numel() for parameter in parameters),
        "weight_bytes": weight_bytes,
        "counted_bytes_per_pixel": counted,
        "counted_bytes": None if counted is None or pixels is None else weight_bytes + counted * pixels,
    }


def _counted(model: nn.Module, strategy: str) -> float | None:
    """Return the bytes a pixel, in float32, of activations and their gradients; None where no source counts them."""
    if not isinstance(model, StagedNetwork):
        return None
    count = {"stored": stored_bytes, "reconstruct": rebuilt_bytes}.get(strategy)
    return count(model) if count else None
