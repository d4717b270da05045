"""What the reversible networks share: a stem convolution, chains with stored stages between them, the head."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradbench.case.schema import Model
from gradbench.invertible import BatchPooling, Chain, ChannelPooling, Invertible, SplitChannels, State
from gradbench.invertible.state import as_state
from gradbench.models.head import Head
from gradbench.models.layers import LayerFactory, convolution
from gradbench.models.stages import Stage, check_image_size, plan_stages, stage_depths

__all__ = ["Network", "StagedNetwork", "Transition"]


class StagedNetwork(nn.Module):
    """Images (N, 3, H, W) to scores (N, classes), by stages of blocks with poolings between them.

    Attributes:
        stages: the plan.
        growth: what the first, second, ... max pooling multiplies the channels by.
    """

    growth: ClassVar[Sequence[float]] = (2,)

    def __init__(self, settings: Model) -> None:
        super().__init__()
        depths, layers = self.depths(settings), self.branch_layers(settings)
        self.stages = plan_stages(settings.width, settings.pooling, depths, layers, self.growth)

    @classmethod
    def from_settings(cls, settings: Model, classes: int, image_size: int) -> Self:
        """Return the network of a case.

        Raises:
            UsageError: the poolings cannot divide the image.
        """
        check_image_size(image_size, settings.pooling)
        return cls(settings, classes)  # type: ignore[call-arg]

    @staticmethod
    def depths(settings: Model) -> list[int]:
        """Return the blocks of each stage."""
        return stage_depths(settings.depth, len(settings.pooling) + 1)

    @staticmethod
    def branch_layers(settings: Model) -> list[int]:
        """Return the layers in each branch of a stage's blocks: one before the first pooling, as Hascoet et al. do."""
        later = [settings.branch_layers] * len(settings.pooling)
        return [1, *later] if later else [settings.branch_layers]


class Transition(nn.Module):
    """What max pooling puts between two chains: the largest of 2x2 pixels, then a convolution to the next width.

    Both keep their inputs: this is the stored stage of a RevNet.
    """

    def __init__(self, inputs: int, outputs: int, groups: int) -> None:
        super().__init__()
        self.convolution = convolution(inputs, outputs)
        self.split = SplitChannels(groups)

    def forward(self, *x: Tensor) -> Tensor | State:
        """Return the groups at half the size."""
        return self.split(self.convolution(torch.cat([F.max_pool2d(group, 2) for group in x], 1)))


class Network(StagedNetwork):
    """A reversible network: its state travels in groups of channels, through chains of blocks.

    Channel and batch pooling lie inside a chain, max pooling between two. The only chain is named `chain`, several are
    `chain0`, `chain1`, ... with `transition0`, ... between them; the parts of a chain are named `stem`, `block0`,
    `block1`, ... and `pooling0`, ..., numbered through the network.

    Attributes:
        groups: channel groups of the state.
    """

    groups: ClassVar[int] = 2

    def __init__(self, settings: Model, classes: int = 10) -> None:
        super().__init__(settings)
        self.layers = LayerFactory(settings)
        self.stem = convolution(3, settings.width)
        self.split = SplitChannels(self.groups)
        self._parts: list[str] = []
        several = "max" in settings.pooling
        named: dict[str, Invertible] = {"stem": self.layers.normalised(settings.width)}
        blocks, before = 0, self.stages[0]
        for number, stage in enumerate(self.stages):
            if stage.pooling == "max":
                index = len(self._parts) // 2
                self._add(f"chain{index}", Chain(named))
                self._add(f"transition{index}", Transition(before.channels, stage.channels, self.groups))
                named = {"stem": self.layers.normalised(stage.channels)}
            elif stage.pooling:
                named[f"pooling{number - 1}"] = ChannelPooling() if stage.pooling == "channel" else BatchPooling()
            for _ in range(stage.blocks):
                named[f"block{blocks}"] = self.block(stage)
                blocks += 1
            before = stage
        self._add(f"chain{len(self._parts) // 2}" if several else "chain", Chain(named))
        self.head = Head(before.channels, classes, before.copies)

    def _add(self, name: str, part: nn.Module) -> None:
        self.add_module(name, part)
        self._parts.append(name)

    @abstractmethod
    def block(self, stage: Stage) -> Invertible:
        """Return a block of that stage."""

    @staticmethod
    @abstractmethod
    def block_workspace(stage: Stage) -> float:
        """Return what the backward pass of a block needs beside the state and its gradient, as a share of the state.

        By the arithmetic of Hascoet et al., which counts what convolutions and norms need for their own gradients.
        """

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores."""
        state = as_state(self.split(self.stem(x)))
        for name in self._parts:
            state = as_state(self.get_submodule(name)(*state))
        return self.head(*state)
