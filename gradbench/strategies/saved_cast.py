"""Every saved activation in a narrower floating-point format; the forward pass is exact."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from gradbench.strategies.base import Strategy
from gradbench.strategies.saved import Restore, saved_otherwise

__all__ = ["SavedCast"]

_FORMATS = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp8": torch.float8_e4m3fn}


class SavedCast(Strategy):
    """Rounding to the nearest: a relative error of at most 2^-8 (bf16), 2^-11 (fp16) or 2^-4 (fp8) an element.

    fp8 is e4m3 with one scale a tensor, which brings its largest magnitude to the format's, 448; a tensor with an
    element that is not finite becomes NaN. What is smaller than the format's normal numbers has a constant absolute
    error instead, and what is larger than 65,504 is infinite in fp16. Parameters, buffers, the model's input and what
    is no wider than the format stay as they are.

    Source: the formats of Micikevicius et al., Mixed precision training and FP8 formats for deep learning, here for
    saved tensors alone.

    Args:
        form: bf16, fp16 or fp8.
    """

    def __init__(self, form: str) -> None:
        self.form, self.dtype = form, _FORMATS[form]

    @property
    def name(self) -> str:
        return f"saved-cast:{self.form}"

    def applied_to(self, model: nn.Module) -> AbstractContextManager[None]:
        return saved_otherwise(model, self._keep)

    def _keep(self, x: Tensor) -> Restore | None:
        wide = x.dtype
        if not x.is_floating_point() or x.element_size() <= self.dtype.itemsize:
            return None
        if self.form != "fp8":
            narrow = x.to(self.dtype)
            return lambda: narrow.to(wide)
        largest = x.abs().amax()
        scale = (largest / torch.finfo(self.dtype).max).where(largest != 0, 1)
        scaled = (x / scale).to(self.dtype)
        return lambda: scaled.to(wide) * scale
