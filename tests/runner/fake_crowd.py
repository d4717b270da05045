"""Tasks that crowd the gate."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def crowd(gate: Any, log: str, name: str, say: Callable[[str], None]) -> bool:
    """Enter beside others again and again; whether the one who wants to be alone was in before it was given up."""
    end = time.monotonic() + 6
    while time.monotonic() < end:
        with gate.shared():
            _write(log, f"in {name}")
            time.sleep(0.05)
        if "alone" in Path(log).read_text().split():
            return True
    return False


def alone(gate: Any, log: str, others: list[str], say: Callable[[str], None]) -> None:
    """Ask to be alone when all the others have been in."""
    while not Path(log).exists() or not set(others) <= set(Path(log).read_text().split()):
        time.sleep(0.01)
    with gate.exclusive():
        _write(log, "alone")


def generous(gate: Any, log: str, name: str, say: Callable[[str], None]) -> list[bool]:
    """Stay inside and give way until the one who wants to be alone was in.

    What comes back: whether he was, whether what ran on the device was finished first, whether he was shut out again.
    """
    finished = []
    end = time.monotonic() + 6
    with gate.shared():
        _write(log, f"in {name}")
        while time.monotonic() < end and "alone" not in Path(log).read_text().split():
            time.sleep(0.02)
            gate.give_way(lambda: finished.append("alone" not in Path(log).read_text().split()))
        with Path(log).with_name("room").open() as room:
            try:
                fcntl.flock(room, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shut_out = False
            except BlockingIOError:
                shut_out = True
    return ["alone" in Path(log).read_text().split(), any(finished), shut_out]


def hold_and_say(gate: Any, say: Callable[[str], None]) -> None:
    with gate.exclusive():
        say("inside")
        time.sleep(3600)


def _write(log: str, line: str) -> None:
    with Path(log).open("a") as file:
        file.write(f"{line}\n")
