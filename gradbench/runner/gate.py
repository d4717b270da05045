"""Who may use the device: many cells at once, or one alone while it measures time and memory."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Gate", "gates_of"]


class Gate:
    """A fair lock for readers and writers across processes, made of two files in `folder`.

    Everyone passes the turnstile on the way in. Whoever wants the device alone keeps the turnstile closed until he is
    done, so that nobody new gets past him and he waits only for those who are inside. The locks belong to open files:
    the kernel releases them when their process ends, however it ends.
    """

    def __init__(self, folder: Path) -> None:
        self._turnstile = folder / "turnstile"
        self._room = folder / "room"
        self._inside = False
        self._room_held: int | None = None

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Use the device beside other cells; waits while one has it, or waits to have it, alone."""
        with self._entered(), _opened(self._room) as room:
            self._enter_shared(room)
            self._room_held = room
            try:
                yield
            finally:
                self._room_held = None

    def give_way(self, finish: Callable[[], None] = lambda: None) -> None:
        """Inside `shared`: let whoever waits to have the device alone go first; costs microseconds when nobody does.

        Args:
            finish: called before leaving, to end what was started on the device.
        """
        if self._room_held is None:
            return
        with _opened(self._turnstile) as turnstile:
            try:
                fcntl.flock(turnstile, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                pass
        finish()
        fcntl.flock(self._room_held, fcntl.LOCK_UN)
        self._enter_shared(self._room_held)

    def _enter_shared(self, room: int) -> None:
        with _opened(self._turnstile) as turnstile:
            fcntl.flock(turnstile, fcntl.LOCK_EX)
            fcntl.flock(room, fcntl.LOCK_SH)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Have the device alone: waits for those inside, and nobody enters meanwhile."""
        with self._entered(), _opened(self._turnstile) as turnstile, _opened(self._room) as room:
            fcntl.flock(turnstile, fcntl.LOCK_EX)
            fcntl.flock(room, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _entered(self) -> Iterator[None]:
        if self._inside:
            raise RuntimeError("the gate is not reentrant: leave shared() or exclusive() before entering again")
        self._inside = True
        try:
            yield
        finally:
            self._inside = False


def gates_of(devices: Iterable[str], folder: Path) -> dict[str, Gate]:
    """Return a gate for each device, so that a cell that is alone on one holds no cell of another off."""
    gates = {}
    for device in devices:
        (folder / device).mkdir()
        gates[device] = Gate(folder / device)
    return gates


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A file descriptor of its own, whose lock goes when it is closed."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
