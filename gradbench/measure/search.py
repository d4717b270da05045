"""The largest number that fits, where what it takes grows with it, asked for as seldom as possible."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["largest"]


def largest(need: Callable[[int], float], room: float, least: int, most: int, second: int) -> int | None:
    """Return the largest n of `least` to `most` with need(n) <= room, or None where `least` does not fit.

    The next n to ask for lies on the line through two that are known, so that what grows linearly takes few questions.

    Args:
        need: grows with n; may be infinite.
        room: what it may be.
        least: the first n.
        most: the last n.
        second: the n to ask for after the first.
    """
    fits, taken = least, need(least)
    if taken > room:
        return None
    more = min(second, most)
    while (wanted := need(more)) <= room:
        if more == most:
            return most
        slope = (wanted - taken) / (more - fits)
        ahead = (room - wanted) / slope if slope > 0 else most
        fits, taken = more, wanted
        more = int(min(more + 1 + ahead, 64 * more, most))
    while more - fits > 1:
        on_the_line = fits + (room - taken) * (more - fits) / (wanted - taken)
        n = min(max(int(on_the_line), fits + 1), more - 1)
        if (asked := need(n)) <= room:
            fits, taken = n, asked
        else:
            more, wanted = n, asked
    return fits
