"""A tracker of live storages: what is alive at once, on any device, without asking an allocator."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass
from torch.utils._pytree import tree_leaves

__all__ = ["LiveStorages"]


class LiveStorages(TorchDispatchMode):
    """Counts the bytes of all storages that operations make while the mode is on, until each is freed.

    Unlike saved-tensor hooks it also sees what a custom autograd function keeps on its context, and a storage that is
    freed or brought back by `resize_`. Views and operations in place make no storage; what an operation reads and the
    mode has not seen was there before, and is not counted. It sees storages that appear in the result of an operation:
    not an operation's inner workspace, nor what `torch.from_numpy` wraps. Under `FakeTensorMode` (entered first) it
    counts what the tensors would take.

    Args:
        device: count only the storages of tensors on it; by default all.

    Attributes:
        now: bytes alive.
        peak: the most that was alive at once.
        moments: bytes alive after each operation, in order.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        super().__init__()
        self.device = device
        self.now = 0
        self.peak = 0
        self.moments: list[int] = []
        self._storages: dict[int, _Storage] = {}

    def ignore(self, *tensors: Tensor) -> None:
        """Do not count the storages of these tensors, which were there before."""
        for tensor in tensors:
            self._note(tensor, before=True)

    def __enter__(self) -> Self:
        self._resize = torch.UntypedStorage.resize_  # is no operation, so that no mode sees it

        @wraps(self._resize)
        def resize(storage: torch.UntypedStorage, size: int) -> Any:
            result = self._resize(storage, size)
            if storage._cdata in self._storages:
                self._count(storage)
            self.moments.append(self.now)
            return result

        torch.UntypedStorage.resize_ = resize
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        torch.UntypedStorage.resize_ = self._resize
        super().__exit__(*error)

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is not torch.ops.aten.lift_fresh.default:  # by which `torch.tensor` shows what it has just made
            for tensor in _tensors((args, kwargs)):
                self._note(tensor, before=True)
        result = func(*args, **(kwargs or {}))
        for tensor in _tensors(result):
            self._note(tensor)
        self.moments.append(self.now)
        return result

    def _note(self, tensor: Tensor, before: bool = False) -> None:
        if self.device is not None and tensor.device != self.device:
            return
        for part in _parts(tensor):
            storage = part.untyped_storage()
            if storage._cdata not in self._storages:
                weakref.finalize(storage, self._freed, storage._cdata).atexit = False
                self._storages[storage._cdata] = _Storage(storage.nbytes() if before else 0)
            self._count(storage)

    def _count(self, storage: torch.UntypedStorage) -> None:
        known, size = self._storages[storage._cdata], storage.nbytes()
        self.now += size - known.size
        self.peak = max(self.peak, self.now)
        known.counted += size - known.size
        known.size = size

    def _freed(self, address: int) -> None:
        self.now -= self._storages.pop(address).counted


@dataclass
class _Storage:
    """A storage's bytes when it was last looked at, and how many of them are counted: none of what it had before."""

    size: int
    counted: int = 0


def _tensors(value: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor))


def _parts(tensor: Tensor) -> Iterator[Tensor]:
    """Yield the tensors that have the storages: of a wrapper those inside, of a sparse one its indices and values."""
    if is_traceable_wrapper_subclass(tensor):
        for name in tensor.__tensor_flatten__()[0]:
            yield from _parts(getattr(tensor, name))
    elif tensor.layout is torch.sparse_coo:
        yield from (tensor._indices(), tensor._values())
    elif tensor.layout is torch.strided:
        yield tensor
