"""The largest number that fits, asked for as seldom as possible."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["largest", "nearly_largest"]

#: To one part in as many is told what fits where it has to be tried.
_PARTS = 64


def largest(need: Callable[[int], float], room: float, least: int, most: int, second: int) -> int | None:
    """Return the largest n of `least` to `most` with need(n) <= room, or None where `least` does not fit.

    The next n to ask for lies on the line through two that are known, so that what grows linearly takes few questions.

    Args:
        need: grows with n; may be infinite.
        room: what it may be.
        least: the first n.
        most: the last n.
        second: the n to ask for after the first; the next after it where it is no larger.
    """
    fits, taken = least, need(least)
    if taken > room:
        return None
    if least == most:
        return most
    more = min(max(second, least + 1), most)
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


def nearly_largest(fits: Callable[[int], bool], predicted: int, least: int) -> int | None:
    """Return an n from `least` on that fits, of which one a 64th larger does not; None where `least` does not fit.

    A 64th is rounded down, to one at least. Both n and the number a 64th larger, or one between, have been asked for.
    What fits is less than what was predicted, mostly by an eighth (libraries' workspaces and fragments are in no
    prediction), and what does not fit is found out sooner than what does: the first question is somewhat below the
    prediction, then steps that double enclose the answer, and each further question is nearer to what does not fit.

    Args:
        fits: whether n does; asked at most once for each n. Where it is not monotone, one of its steps is found.
        predicted: near which to ask first.
        least: the first n.
    """
    n = max(least, predicted - predicted // 16)
    step = max(1, n // 8)
    good = bad = None
    while True:
        if fits(n):
            good = n
        else:
            bad = n
        if bad is None:
            n, step = n + step, 2 * step
        elif bad == least:
            return None
        elif good is None:
            n, step = max(least, n - step), 2 * step
        elif bad - good <= max(1, good // _PARTS):
            return good
        else:
            n = good + max(1, 2 * (bad - good) // 3)
