"""Tasks that crowd the gate."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def again(gate: Any, log: str, name: str, say: Callable[[str], None]) -> bool:
    """Enter beside others until the one who wants to be alone has been in; whether that happened in time.

    Two of these overlap: each leaves only after the other had time to enter, so the room is hardly ever empty.
    """
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with gate.shared():
            time.sleep(0.03)
        if Path(log).exists() and "out alone" in Path(log).read_text():
            return True
    return False


def hold_and_say(gate: Any, say: Callable[[str], None]) -> None:
    with gate.exclusive():
        say("inside")
        time.sleep(3600)
