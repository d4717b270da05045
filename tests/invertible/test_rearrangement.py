"""Splitting and pooling move every entry to where their definitions say, and back."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from gradbench.invertible import BatchPooling, Chain, ChannelPooling, JoinChannels, LayerError, SplitChannels
from gradbench.invertible.state import as_state
from tests.invertible.oracle import same_as_stored, state


def test_channel_pooling_puts_row_then_column_then_channel() -> None:
    groups = state(2, 3, 6, 4)
    for x, y in zip(groups, ChannelPooling()(*groups), strict=True):
        assert y.shape == (2, 12, 3, 2)
        for di, dj, c in itertools.product(range(2), range(2), range(3)):
            assert torch.equal(y[:, (2 * di + dj) * 3 + c], x[:, c, di::2, dj::2])


def test_batch_pooling_stacks_the_four_positions_offset_first() -> None:
    groups = state(2, 3, 6, 4)
    for x, y in zip(groups, BatchPooling()(*groups), strict=True):
        assert y.shape == (8, 3, 3, 2)
        for di, dj in itertools.product(range(2), range(2)):
            assert torch.equal(y.view(4, 2, 3, 3, 2)[2 * di + dj], x[:, :, di::2, dj::2])


def test_split_channels_are_contiguous_groups_in_order() -> None:
    (x,) = state(2, 6, 4, 4, groups=1)
    groups = SplitChannels(3)(x)
    assert all(group.is_contiguous() for group in groups)
    assert torch.equal(torch.cat(groups, 1), x)
    assert torch.equal(JoinChannels(3)(*groups), x)


@pytest.mark.parametrize(
    ("layer", "groups"), [(ChannelPooling(), 2), (BatchPooling(), 2), (SplitChannels(2), 1), (JoinChannels(2), 2)]
)
def test_inverse_and_gradients(layer: nn.Module, groups: int) -> None:
    x = state(3, 4, 6, 4, groups=groups)
    back = as_state(layer.inverse(*as_state(layer(*x))))
    assert all(torch.equal(a, b) for a, b in zip(back, x, strict=True))
    assert all(tensor.is_contiguous() for tensor in back)
    assert same_as_stored(Chain(layer), x, 1e-15)


@pytest.mark.parametrize("layer", [ChannelPooling(), BatchPooling()])
def test_odd_images_are_refused(layer: nn.Module) -> None:
    with pytest.raises(LayerError, match=r"layer 'pooling0': .* 6x5 pixels have to be even"):
        Chain({"pooling0": layer})(*state(2, 3, 6, 5))


def test_channels_that_do_not_divide_are_refused() -> None:
    with pytest.raises(LayerError, match="5 channels cannot be split into 2 equal groups"):
        SplitChannels(2)(torch.zeros(1, 5, 2, 2))
