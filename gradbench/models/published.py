"""What the sources print about their networks, and why it is not always what their own rules give.

Hascoet et al., Reversible designs for extreme memory cost reduction of CNN training, Table 1 and equations 11 to 35.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PUBLISHED", "Published"]


@dataclass(frozen=True)
class Published:
    """A row of Table 1, as printed; an empty text is not printed there.

    Attributes:
        where: the row or the equation.
        channels: of the stages.
        accuracy: on CIFAR-10.
        parameters: their number.
        weights: their megabytes.
        bytes_per_pixel: of activations and gradients.
        strategy: the strategy that these are for.
        total: megabytes for 512 images of 32x32.
        differences: why the numbers differ from those that the same rules give, a sentence each.
    """

    where: str
    channels: str
    accuracy: str
    parameters: str
    weights: str
    bytes_per_pixel: str
    strategy: str
    total: str
    differences: tuple[str, ...]


PUBLISHED = {
    "resnet": Published(
        "Table 1, Resnet",
        "32-64-128-256",
        "94.7 %",
        "3.1M",
        "12.5",
        "1928",
        "stored",
        "1010",
        (
            "Table 1 cuts 12.57 MB to 12.5; with a bias in the classifier there are ten parameters more.",
            "Equation 10c gives 16 bytes for the last gradient, 256 channels at 1/64 of the pixels; the printed 1928 "
            "has 8, which 128 channels would take.",
            "Both take a convolution behind a pooling to have the stage's width as its input, which has half of that: "
            "counted as it is, 1880 bytes.",
            "The printed total leaves the weights out.",
        ),
    ),
    "revnet": Published(
        "Table 1, RevNet",
        "40-80-256-320",
        "94.5 %",
        "3.1M",
        "12.7",
        "640",
        "reconstruct",
        "348",
        (
            "Table 1 cuts 3.18M to 3.1M and 12.74 MB to 12.7; a network without the block at 40 channels, which "
            "i-RevNet and the hybrid have, would fit as well (3,176,488).",
            "The first and the second stage need the same 160 values: 40 + 40 + 40 and the pooling's 40, and "
            "20 + 20 + 60 and the poolings' 60.",
        ),
    ),
    "irevnet": Published(
        "Table 1, i-RevNet",
        "32-128-512-2048",
        "93.8 %",
        "42.8M",
        "171",
        "640",
        "reconstruct",
        "500",
        ("The printed total is rounded.",),
    ),
    "layerwise": Published(
        "equation 34",
        "not printed",
        "",
        "",
        "29.6",
        "320",
        "reconstruct",
        "",
        (
            "Neither channels nor depth are printed: those of the hybrid and 13 layers, of which 4 have 128 channels "
            "and 6 have 512, give the printed weights.",
            "The printed 590 MB for 32 images of 240x240 leave the weights out.",
        ),
    ),
    "hybrid": Published(
        "Table 1, Ours",
        "32-128-512-512",
        "93.3 %",
        "3.7M",
        "14.8",
        "352",
        "reconstruct",
        "200",
        (
            "The count leaves out the gradient inside a branch, half of the state, which lives beside that of the "
            "state: with it the same rule gives 416.",
            "The printed 648 MB for 32 images of 240x240 leave the weights out; the total for 512 images of 32x32 has "
            "them, rounded.",
        ),
    ),
}
