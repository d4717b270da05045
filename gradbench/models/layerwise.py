"""The layer-wise invertible network of Hascoet et al., section 4.1: every layer is undone from its output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from gradbench.case.schema import Model
from gradbench.models.network import LayerFactory, Network
from gradbench.models.stages import Pooling, check_image_size, stage_depths

__all__ = ["Layerwise"]


class Layerwise(Network):
    """A stem and `depth` - 1 invertible layers (split convolution, norm, leaky ReLU), on a state of two groups.

    Args:
        depth: layers in all, the stem among them, at least 1.
        width: channels of the first stage, a multiple of 4; channel pooling multiplies them by 4.
        negative_slope: of the leaky ReLU.
        eps_i: the norm's smallest scale.
        pooling: what stands between the stages; the layers are spread over one stage more.
        norm_inverse: how the norm is undone.
        classes: number of scores.
    """

    def __init__(
        self,
        depth: int,
        width: int = 32,
        negative_slope: float = 0.2,
        eps_i: float = 0.1,
        pooling: Sequence[Pooling] = ("channel", "channel"),
        norm_inverse: Literal["affine", "renormalize"] = "affine",
        classes: int = 10,
    ) -> None:
        layers = LayerFactory(negative_slope, eps_i, norm_inverse)
        stem_stage, *others = stage_depths(depth, len(pooling) + 1)
        super().__init__(width, [stem_stage - 1, *others], pooling, 2, layers, layers.layers, classes)

    @classmethod
    def from_settings(cls, settings: Model, classes: int, image_size: int) -> Layerwise:
        """Return the network of a case.

        Raises:
            UsageError: the poolings cannot divide the image.
        """
        check_image_size(image_size, settings.pooling)
        return cls(
            settings.depth,
            settings.width,
            settings.negative_slope,
            settings.eps_i,
            settings.pooling,
            settings.norm_inverse,
            classes,
        )
