"""The calendar of nights: which were missed, so that a chart breaks its line there."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from itertools import pairwise
from statistics import median_low

__all__ = ["with_missed"]


def with_missed(nights: Iterable[str]) -> list[str]:
    """The nights (YYYY-MM-DD) in order, and between them those that were missed.

    The usual distance, the median of all, says how often there is a night: every day, every week. A chart over a frame
    that is indexed by night breaks its lines after `frame.reindex(with_missed(frame.index))`.

    >>> with_missed(["2026-01-01", "2026-01-02", "2026-01-05", "2026-01-06"])
    ['2026-01-01', '2026-01-02', '2026-01-03', '2026-01-04', '2026-01-05', '2026-01-06']
    """
    days = sorted({date.fromisoformat(night) for night in nights})
    if len(days) < 2:
        return [day.isoformat() for day in days]
    usual = median_low(later - earlier for earlier, later in pairwise(days))
    found = days[:1]
    for later in days[1:]:
        while later - found[-1] >= usual + max(usual // 2, timedelta(days=1)):
            found.append(found[-1] + usual)
        found.append(later)
    return [day.isoformat() for day in found]
