"""The arithmetic that every measurement runs in: plain float32, deterministic where the device can."""

from __future__ import annotations

import warnings

import torch

__all__ = ["use_plain_float32"]


def use_plain_float32() -> None:
    """Switch TF32 and algorithm search off for this process.

    TF32 convolutions raise the gradient error of reconstruction by more than an order of magnitude; a search among
    algorithms lets two runs of the same step differ.
    """
    # torch 2.9 alone advises against these switches, which later versions keep.
    warnings.filterwarnings("ignore", message="Please use the new API settings to control TF32")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
