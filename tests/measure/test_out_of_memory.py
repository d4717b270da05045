"""Too little memory is known by what torch, CUDA and cuDNN say, and told without what is nobody's business."""

from __future__ import annotations

import pytest
import torch

from gradbench.measure.out_of_memory import is_out_of_memory, out_of_memory_in_short

#: As torch 2.11 said it on a GPU that other processes used too.
SAID = (
    "CUDA out of memory. Tried to allocate 64.00 MiB. GPU 0 has a total capacity of 139.80 GiB of which 113.21 GiB is "
    "free. Process 663 has 66.00 MiB memory in use. Process 853 has 1.90 GiB memory in use. Including non-PyTorch "
    "memory, this process has 1.62 GiB memory in use. 953.67 MiB allowed; Of the allocated memory 794.12 MiB is "
    "allocated by PyTorch, and 99.88 MiB is reserved by PyTorch but unallocated. If reserved but unallocated memory is "
    "large try setting PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid fragmentation.  See documentation for "
    "Memory Management  (https://docs.pytorch.org/docs/stable/notes/cuda.html)"
)


def test_what_was_asked_for_allowed_and_taken_is_told() -> None:
    assert out_of_memory_in_short(torch.OutOfMemoryError(SAID + "\nException raised from malloc")) == (
        "CUDA out of memory. Tried to allocate 64.00 MiB. 953.67 MiB allowed; Of the allocated memory 794.12 MiB is "
        "allocated by PyTorch, and 99.88 MiB is reserved by PyTorch but unallocated."
    )
    assert out_of_memory_in_short(MemoryError()) == ""
    assert out_of_memory_in_short(RuntimeError("another  text. With 2.5 GiB")) == "another text. With 2.5 GiB"


@pytest.mark.parametrize(
    ("error", "known"),
    [
        (torch.OutOfMemoryError(SAID), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("FIND was unable to find an engine to execute this computation"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 8 bytes"), True),
        (MemoryError(), True),
        (RuntimeError("shapes do not match"), False),
        (ValueError("CUDA error: out of memory"), False),
    ],
)
def test_it_is_known_by_what_is_said(error: Exception, known: bool) -> None:
    assert is_out_of_memory(error) is known
