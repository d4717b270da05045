"""Too little memory, whoever says so: torch, or a library for which torch has left nothing."""

from __future__ import annotations

import re

import torch

__all__ = ["is_out_of_memory", "out_of_memory_in_short"]

#: What libraries say for which nothing is left beside torch's allocator; cuDNN, that no algorithm of its has room.
_NO_ROOM = ("CUDA error: out of memory", "ALLOC_FAILED", "unable to find an engine")
_OTHERS = re.compile(
    r" (?:Process \d+ has|Including non-PyTorch memory, this process has) [^.]*\.\d+ \w+ memory in use\."
)
_WHOLE = re.compile(
    r" ?(?:GPU \d+ has a total capacity of .*? is free\.|If reserved but unallocated memory is large .*)"
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception says that there was too little memory."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in _NO_ROOM)
    )


def out_of_memory_in_short(error: BaseException) -> str:
    """Return what was asked for, allowed and taken, without the other processes of the GPU and without advice."""
    return " ".join(_WHOLE.sub("", _OTHERS.sub("", str(error).splitlines()[0])).split())
