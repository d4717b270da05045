"""Networks that know nothing of gradbench: a U-Net and a small transformer, in training mode with dropout."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Transformer", "UNet"]


class _Double(nn.Sequential):
    """Twice convolution, batch norm and ReLU."""

    def __init__(self, inside: int, outside: int) -> None:
        layers: list[nn.Module] = []
        for channels in (inside, outside):
            layers += [nn.Conv2d(channels, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside)]
            layers.append(nn.ReLU(inplace=True))
        super().__init__(*layers)


class UNet(nn.Module):
    """Two levels down and up, with the skips of Ronneberger et al.; it returns a dict, as segmentation models do."""

    def __init__(self, width: int = 4, classes: int = 3) -> None:
        super().__init__()
        self.down = nn.ModuleList([_Double(3, width), _Double(width, 2 * width)])
        self.bottom = nn.Sequential(_Double(2 * width, 4 * width), nn.Dropout2d(0.2))
        self.widen = nn.ModuleList(
            [nn.ConvTranspose2d(4 * width, 2 * width, 2, 2), nn.ConvTranspose2d(2 * width, width, 2, 2)]
        )
        self.up = nn.ModuleList([_Double(4 * width, 2 * width), _Double(2 * width, width)])
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
            x = nn.functional.max_pool2d(x, 2)
        x = self.bottom(x)
        for widen, block in zip(self.widen, self.up, strict=True):
            x = block(torch.cat([skips.pop(), widen(x)], 1))
        return {"out": self.head(x)}


class Transformer(nn.Module):
    """A causal language model of two layers, with dropout in the attention's own function."""

    def __init__(self, tokens: int = 11, width: int = 16) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, width)
        layer = nn.TransformerEncoderLayer(width, 2, 2 * width, dropout=0.1, batch_first=True)
        self.layers = nn.ModuleList([layer, nn.TransformerEncoderLayer(width, 2, 2 * width, 0.1, batch_first=True)])
        self.head = nn.Linear(width, tokens)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        x = self.embedding(tokens)
        for layer in self.layers:
            x = layer(x, mask, is_causal=True)
        return self.head(x)
