"""Many pages at a time, where there are processors and enough to do."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

__all__ = ["several"]

#: A process of its own costs as much as this many pages.
_WORTH = 3


@contextmanager
def several(tasks: int, module: str) -> Iterator[Callable[..., Iterable[Any]]]:
    """A `map` for about so many `tasks`; its functions are those of `module`, which each process imports."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(processors, tasks // _WORTH)
    if workers < 2:
        yield map
        return
    context = get_context("forkserver")
    context.set_forkserver_preload([module])
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield pool.map
