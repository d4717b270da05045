"""What training needs by the sources' own arithmetic, counted on a network's plan: bytes for each pixel of the image.

Hascoet et al., section 3: the stem, the head, the weights and their gradients, what activations keep, and the library's
workspace are left out. What a step really takes is measured, by a case.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from gradbench.models.network import Network, StagedNetwork
from gradbench.models.stages import Stage

__all__ = ["RULES", "rebuilt_bytes", "stored_bytes"]

#: How the bytes of each strategy are counted.
RULES = {
    "stored": "the input of every convolution and norm of the blocks, shortcuts aside, and at the last convolution its "
    "gradient (Hascoet et al., equations 8c and 10c)",
    "reconstruct": "at the worst block its state, the gradient of that, what the block's own backward pass holds (of "
    "ordinary branches the inputs of their convolutions and norms, of invertible ones half of the state, of a split "
    "convolution half of its own), and the input of each max pooling up to there (section 3.4 to 4.2)",
}
_FLOAT = 4


def stored_bytes(network: StagedNetwork) -> float:
    """Return the bytes a pixel, in float32, when every activation is kept."""
    kept = sum(2 * stage.branch_layers * stage.blocks * stage.values for stage in network.stages)
    last = [stage for stage in network.stages if stage.blocks][-1:]
    return _FLOAT * (kept + sum(stage.values for stage in last))


def rebuilt_bytes(network: StagedNetwork) -> float | None:
    """Return the bytes a pixel, in float32, when the backward pass rebuilds the activations; None where it cannot."""
    if not isinstance(network, Network):
        return None
    needed = (
        (2 + network.block_workspace(stage)) * stage.values + _pooled(network.stages, number)
        for number, stage in enumerate(network.stages)
        if stage.blocks
    )
    return _FLOAT * max(needed, default=0)


def _pooled(stages: Sequence[Stage], last: int) -> float:
    """Return the values a pixel that max poolings keep, of those that follow the stages up to number `last`."""
    pairs = itertools.pairwise(stages[: last + 2])
    return sum(stage.values for stage, following in pairs if following.pooling == "max")
