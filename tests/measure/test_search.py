"""The largest number that fits, against counting up."""

from __future__ import annotations

import random

from gradbench.measure.search import largest


def test_it_is_what_counting_up_finds() -> None:
    draw = random.Random(3)
    for _ in range(500):
        flat, steep = draw.randint(0, 5), draw.randint(1, 40)
        knee, start = draw.randint(1, 60), draw.randint(0, 300)
        asked: list[int] = []

        def need(
            n: int, flat: int = flat, steep: int = steep, knee: int = knee, start: int = start, asked: list[int] = asked
        ) -> float:
            asked.append(n)
            taken = start + flat * n + max(0, steep * (n - knee))
            return float("inf") if taken > 10**6 else taken

        room, least, most = draw.randint(0, 2000), draw.randint(1, 3), draw.randint(4, 400)
        fitting = [n for n in range(least, most + 1) if need(n) <= room]
        asked.clear()
        assert largest(need, room, least, most, draw.randint(4, 50)) == (fitting[-1] if fitting else None)
        assert max(asked, default=0) <= most


def test_what_grows_linearly_takes_few_questions() -> None:
    asked = []
    assert largest(lambda n: asked.append(n) or 1000 + 37 * n, 10**9, 2, 10**9, 128) == (10**9 - 1000) // 37
    assert len(asked) <= 12
