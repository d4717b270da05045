"""Norm and activation together, as Triton kernels: what takes five passes over memory in plain operations takes one.

A group (N, C, H, W) is walked in tiles of rows and columns, by programs of which each has its own channels. Contiguous
in channels, a program has one channel, a row is an image and a column a pixel; in `channels_last` order a row is a
pixel, and a program's channels are the columns. Whatever the type of the group, arithmetic is in float32.

This module imports Triton: import it only where that is wanted.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

__all__ = ["Tiling", "Undone", "normalise_and_activate", "sums", "undo"]

_TILE = 2048
#: Programs that keep a GPU busy while each has several tiles.
_PROGRAMS = 2048
#: The most partial sums of a channel.
_SPLITS = 128


class Tiling(NamedTuple):
    """How a group is walked.

    Attributes:
        images: N, or N H W in `channels_last` order.
        channels: C.
        pixels: H W, or 1 in `channels_last` order.
        rows: of a tile.
        columns: of a tile; powers of two both.
        last: whether channels come last in memory.
        aligned: the largest power of two, up to 16, that divides the length of a row in memory.
    """

    images: int
    channels: int
    pixels: int
    rows: int
    columns: int
    last: bool
    aligned: int

    @classmethod
    def of(cls, group: Tensor) -> Tiling:
        """Return the tiling of a group that is contiguous or in `channels_last` order."""
        images, channels, height, width = group.shape
        last = not group.is_contiguous()
        run = channels if last else height * width
        columns = min(triton.next_power_of_2(run), 64 if last else 1024)
        aligned = min(run & -run, 16)
        if last:
            return cls(images * height * width, channels, 1, _TILE // columns, columns, last, aligned)
        return cls(images, channels, height * width, _TILE // columns, columns, last, aligned)

    @property
    def tiles(self) -> int:
        """Tiles of one program's channels."""
        across = 1 if self.last else triton.cdiv(self.pixels, self.columns)
        return triton.cdiv(self.images, self.rows) * across

    @property
    def blocks(self) -> int:
        """Programs beside each other, for all channels."""
        return triton.cdiv(self.channels, self.columns) if self.last else self.channels

    def splits(self, most: int = _PROGRAMS) -> int:
        """Return among how many programs the tiles of a channel are dealt out."""
        return max(1, min(self.tiles, most, _PROGRAMS // self.blocks))


class Undone(NamedTuple):
    """What `undo` needs to know of a norm, one float32 a channel of all groups.

    With z the norm's output, xhat is (z - centre) rate, and the norm's input (z - centre) factor + mean.
    """

    centre: Tensor
    rate: Tensor
    factor: Tensor
    mean: Tensor
    gain: Tensor


@triton.jit
def _place(
    tile,
    images,
    channels,
    pixels,
    rows: tl.constexpr,
    columns: tl.constexpr,
    last: tl.constexpr,
    aligned: tl.constexpr,
):
    """Return where the values of a tile are, and which of them there are."""
    block = tl.program_id(0)
    if last:
        row = tile * rows + tl.arange(0, rows)
        column = block * columns + tl.arange(0, columns)
        start = tl.multiple_of(row * channels, aligned)
        there = (row < images)[:, None] & (column < channels)[None, :]
    else:
        across = tl.cdiv(pixels, columns)
        row = (tile // across) * rows + tl.arange(0, rows)
        column = (tile % across) * columns + tl.arange(0, columns)
        start = tl.multiple_of((row * channels + block) * pixels, aligned)
        there = (row < images)[:, None] & (column < pixels)[None, :]
    return start[:, None] + column[None, :], there


@triton.jit
def _vector(pointer, first, channels, columns: tl.constexpr, last: tl.constexpr):
    """Return a number for each of the program's channels, which broadcasts over a tile."""
    block = tl.program_id(0)
    if last:
        channel = block * columns + tl.arange(0, columns)
        return tl.load(pointer + first + channel, mask=channel < channels, other=0.0)[None, :].to(tl.float32)
    else:  # the compiler would read on behind the return
        return tl.load(pointer + first + block).to(tl.float32)


@triton.jit
def _total(tile, last: tl.constexpr):
    """Return the sums of a tile over all but its channels."""
    if last:
        return tl.sum(tile, 0)
    else:
        return tl.sum(tile)


@triton.jit
def _normalise_and_activate(
    x,
    y,
    mean,
    inverse_std,
    scale,
    bias,
    first,
    slope,
    tiles,
    images,
    channels,
    pixels,
    rows: tl.constexpr,
    columns: tl.constexpr,
    last: tl.constexpr,
    aligned: tl.constexpr,
):
    gain = _vector(scale, first, channels, columns, last) * _vector(inverse_std, first, channels, columns, last)
    offset = _vector(bias, first, channels, columns, last) - _vector(mean, first, channels, columns, last) * gain
    for tile in range(tl.program_id(1), tiles, tl.num_programs(1)):
        place, there = _place(tile, images, channels, pixels, rows, columns, last, aligned)
        z = tl.load(x + place, mask=there, other=0.0).to(tl.float32) * gain + offset
        z = z.to(y.dtype.element_ty).to(tl.float32)  # rounded between the two, as when they first ran
        tl.store(y + place, tl.where(z > 0, z, z * slope).to(y.dtype.element_ty), mask=there)


@triton.jit
def _sums(
    y,
    dy,
    centre,
    rate,
    partial,
    first,
    slope,
    inverse_slope,
    tiles,
    images,
    channels,
    pixels,
    rows: tl.constexpr,
    columns: tl.constexpr,
    last: tl.constexpr,
    aligned: tl.constexpr,
):
    """Write this program's part of sum dz and sum dz xhat, for each of its channels."""
    middle = _vector(centre, first, channels, columns, last)
    factor = _vector(rate, first, channels, columns, last)
    plain = tl.zeros((rows, columns), tl.float32)
    weighted = tl.zeros((rows, columns), tl.float32)
    for tile in range(tl.program_id(1), tiles, tl.num_programs(1)):
        place, there = _place(tile, images, channels, pixels, rows, columns, last, aligned)
        value = tl.load(y + place, mask=there, other=0.0).to(tl.float32)
        gradient = tl.load(dy + place, mask=there, other=0.0).to(tl.float32)
        z = tl.where(value > 0, value, value * inverse_slope)
        dz = tl.where(value > 0, gradient, gradient * slope)
        plain += dz
        weighted += dz * ((z - middle) * factor)
    block, split, splits = tl.program_id(0), tl.program_id(1), tl.num_programs(1)
    if last:
        channel = block * columns + tl.arange(0, columns)
        known = channel < channels
        tl.store(partial + split * channels + channel, _total(plain, last), mask=known)
        tl.store(partial + (splits + split) * channels + channel, _total(weighted, last), mask=known)
    else:
        tl.store(partial + split * channels + block, _total(plain, last))
        tl.store(partial + (splits + split) * channels + block, _total(weighted, last))


@triton.jit
def _undo(
    y,
    dy,
    x,
    dx,
    centre,
    rate,
    factor,
    mean,
    gain,
    total,
    all_channels,
    first,
    share,
    slope,
    inverse_slope,
    tiles,
    images,
    channels,
    pixels,
    rows: tl.constexpr,
    columns: tl.constexpr,
    last: tl.constexpr,
    aligned: tl.constexpr,
):
    """Write x and dx, which may be y and dy. `share` is 1 / (N H W), or 0 if the statistics are not the batch's."""
    middle = _vector(centre, first, channels, columns, last)
    to_xhat = _vector(rate, first, channels, columns, last)
    to_x = _vector(factor, first, channels, columns, last)
    at = _vector(mean, first, channels, columns, last)
    to_dx = _vector(gain, first, channels, columns, last)
    mean_dz = _vector(total, first, channels, columns, last) * share
    mean_dz_xhat = _vector(total + all_channels, first, channels, columns, last) * share
    for tile in range(tl.program_id(1), tiles, tl.num_programs(1)):
        place, there = _place(tile, images, channels, pixels, rows, columns, last, aligned)
        value = tl.load(y + place, mask=there, other=0.0).to(tl.float32)
        gradient = tl.load(dy + place, mask=there, other=0.0).to(tl.float32)
        z = tl.where(value > 0, value, value * inverse_slope) - middle
        dz = tl.where(value > 0, gradient, gradient * slope)
        tl.store(x + place, (z * to_x + at).to(x.dtype.element_ty), mask=there)
        dz = (dz - mean_dz - z * to_xhat * mean_dz_xhat) * to_dx
        tl.store(dx + place, dz.to(dx.dtype.element_ty), mask=there)


def normalise_and_activate(
    x: Tensor, y: Tensor, first: int, mean: Tensor, inverse_std: Tensor, scale: Tensor, bias: Tensor, slope: float
) -> None:
    """Write leaky(scale (x - mean) inverse_std + bias) to `y`, which may be `x`.

    Args:
        x: a group (N, C, H, W), contiguous or channels_last.
        y: of the same shape and order.
        first: the group's first channel in the vectors.
        mean: one number for each channel of all groups, as the next three.
        inverse_std: 1 / sqrt(var + eps).
        scale: what the normalised values are multiplied by.
        bias: what is added to them.
        slope: of the leaky ReLU.
    """
    tiling = Tiling.of(x)
    grid = (tiling.blocks, tiling.splits())
    _launch(
        _normalise_and_activate, grid, x, y, mean, inverse_std, scale, bias, first, slope, tiling.tiles, tiling=tiling
    )


def sums(y: Tensor, dy: Tensor, first: int, how: Undone, slope: float) -> Tensor:
    """Return sum dz and sum dz xhat over a group, (2, C) float32, without a race: the same bits every time.

    Args:
        y: the activation's output, a group (N, C, H, W), contiguous or channels_last.
        dy: its gradient, in the same order.
        first: the group's first channel in the vectors.
        how: the norm.
        slope: of the leaky ReLU.
    """
    tiling = Tiling.of(y)
    splits = tiling.splits(_SPLITS)
    partial = torch.empty((2, splits, tiling.channels), dtype=torch.float32, device=y.device)
    grid = (tiling.blocks, splits)
    _launch(_sums, grid, y, dy, how.centre, how.rate, partial, first, slope, 1 / slope, tiling.tiles, tiling=tiling)
    return partial.sum(1) if splits > 1 else partial[:, 0]


def undo(
    y: Tensor, dy: Tensor, x: Tensor, dx: Tensor, first: int, how: Undone, total: Tensor, share: float, slope: float
) -> None:
    """Write the norm's input to `x` and its gradient to `dx`, which may be `y` and `dy`.

    Args:
        y: the activation's output, a group (N, C, H, W), contiguous or channels_last.
        dy: its gradient, in the same order.
        x: of the same shape and order.
        dx: of the same shape and order.
        first: the group's first channel in the vectors.
        how: the norm.
        total: sum dz and sum dz xhat, (2, channels of all groups).
        share: 1 / (N H W), or 0 where the norm's statistics are not the batch's.
        slope: of the leaky ReLU.
    """
    tiling = Tiling.of(y)
    grid = (tiling.blocks, tiling.splits())
    vectors = (*how, total, total.shape[1])
    _launch(_undo, grid, y, dy, x, dx, *vectors, first, share, slope, 1 / slope, tiling.tiles, tiling=tiling)


def _launch(kernel: Any, grid: tuple[int, int], *arguments: Any, tiling: Tiling) -> None:
    """Run a kernel. On tensors without values, such as those that memory is predicted with, there is nothing to do."""
    if not isinstance(arguments[0], FakeTensor):
        kernel[grid](*arguments, **tiling._asdict())
