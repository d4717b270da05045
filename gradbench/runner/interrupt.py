"""Ctrl-C and SIGTERM as a question that the run asks when it can answer it, instead of an exception anywhere."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Interrupt", "interruptible"]


class Interrupt:
    """Call it to learn whether the run was asked to stop."""

    def __init__(self) -> None:
        self._asked = False

    def __call__(self) -> bool:
        """Whether SIGINT or SIGTERM has arrived."""
        return self._asked

    def ask(self) -> None:
        """Ask the run to stop."""
        self._asked = True


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Inside, the first SIGINT or SIGTERM is noted; a second one ends the program as it would have without us."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, frame: FrameType | None) -> None:
        restore()
        interrupt.ask()

    for number in before:
        signal.signal(number, note)
    try:
        yield interrupt
    finally:
        restore()
