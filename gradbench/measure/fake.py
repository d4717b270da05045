"""Run a model of any size without its memory: tensors that have shapes and no values."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["without_memory"]


@contextmanager
def without_memory() -> Iterator[None]:
    """Make every tensor inside a fake one. What a model asks of values is answered where there is one answer to expect.

    A check of values (one truth value, as of "all are finite") is passed, and states of random generators, which are
    real, are compared as they are. Anything else that depends on values is torch's error, which is raised and not
    logged as well.
    """
    log = logging.getLogger("torch._subclasses.fake_tensor")
    before, log.disabled = log.disabled, True
    try:
        with FakeTensorMode(), _Answers():
            yield
    finally:
        log.disabled = before


class _Answers(TorchDispatchMode):
    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if FakeTensor not in types and any(isinstance(leaf, Tensor) for leaf in tree_leaves((args, kwargs))):
            with unset_fake_temporarily():
                return func(*args, **(kwargs or {}))
        if func is torch.ops.aten._local_scalar_dense.default and args[0].dtype is torch.bool:
            return True
        return func(*args, **(kwargs or {}))
