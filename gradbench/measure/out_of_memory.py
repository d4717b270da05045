"""Too little memory, whoever says so: Python, torch, or a library for which torch has left nothing."""

from __future__ import annotations

import re
import sys

__all__ = ["is_out_of_memory", "out_of_memory_in_short"]

#: What is said in a plain RuntimeError: by torch of a CPU, by CUDA and cuDNN beside torch's allocator.
_SAID = (
    "DefaultCPUAllocator: can't allocate memory",
    "CUDA error: out of memory",
    "ALLOC_FAILED",
    "unable to find an engine",
)
#: The other processes of the GPU, the whole GPU, and advice.
_BESIDE = re.compile(
    r" ?(?:(?:Process \d+ has|Including non-PyTorch memory, this process has) \d[\d.]* \w+ memory in use\."
    r"|GPU \d+ has a total capacity of .*? is free\.|If reserved but unallocated memory is large .*)"
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception says that there was too little memory. torch is not imported for it."""
    torch = sys.modules.get("torch")
    kinds = (MemoryError,) if torch is None else (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, kinds) or (isinstance(error, RuntimeError) and any(text in str(error) for text in _SAID))


def out_of_memory_in_short(error: BaseException) -> str:
    """Return what was asked for, allowed and taken, without the other processes of the GPU and without advice."""
    first, _, _ = str(error).partition("\n")
    return " ".join(_BESIDE.sub("", first).split())
