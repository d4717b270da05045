"""The largest number that fits, against counting up."""

from __future__ import annotations

import random

import pytest

from gradbench.measure.search import largest, nearly_largest


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

        room, least = draw.randint(0, 2000), draw.randint(1, 3)
        most = draw.randint(least, 400)
        fitting = [n for n in range(least, most + 1) if need(n) <= room]
        asked.clear()
        assert largest(need, room, least, most, draw.randint(1, 50)) == (fitting[-1] if fitting else None)
        assert max(asked, default=0) <= most


def test_what_grows_linearly_takes_few_questions() -> None:
    asked = []
    assert largest(lambda n: asked.append(n) or 1000 + 37 * n, 10**9, 2, 10**9, 128) == (10**9 - 1000) // 37
    assert len(asked) <= 12


class Tried:
    """Whether n fits, where it does up to `truth`: what grows without a jump fits as far as what jumps."""

    def __init__(self, truth: int) -> None:
        self.truth = truth
        self.fitting: list[int] = []
        self.missing: list[int] = []

    def __call__(self, n: int) -> bool:
        (self.fitting if n <= self.truth else self.missing).append(n)
        return n <= self.truth


def test_what_is_tried_is_found_to_a_64th_for_any_prediction() -> None:
    """All numbers up to 300 from all predictions up to 400, and large ones at random."""
    draw = random.Random(5)
    small = [(truth, predicted) for truth in range(1, 300, 3) for predicted in range(1, 400, 7)]
    large = [(draw.randint(1, 10**6), draw.randint(1, 10**6)) for _ in range(500)]
    for truth, predicted in small + large:
        tried = Tried(truth)
        found = nearly_largest(tried, predicted, 1)
        assert found == max(tried.fitting)
        assert found <= truth < found + max(1, found // 64)
        assert min(tried.missing) <= found + max(1, found // 64)
        every = tried.fitting + tried.missing
        assert len(set(every)) == len(every)
        assert min(every) >= 1


def test_bytes_that_grow_with_jumps_are_as_good_as_counting_up() -> None:
    draw = random.Random(11)
    for _ in range(200):
        bytes_of, taken = [0], 0
        for _ in range(600):
            taken += draw.choice((0, 0, 1, 2, 5, 300))
            bytes_of.append(taken)
        room, least = draw.randint(1, taken), draw.randint(1, 3)
        fitting = [n for n in range(least, len(bytes_of)) if bytes_of[n] <= room]

        def fits(n: int, bytes_of: list[int] = bytes_of, room: int = room) -> bool:
            return n < len(bytes_of) and bytes_of[n] <= room

        found = nearly_largest(fits, draw.randint(1, 600), least)
        if not fitting:
            assert found is None
            continue
        assert found is not None
        assert found <= fitting[-1] < found + max(1, found // 64)


def test_a_prediction_off_by_as_much_as_on_a_gpu_takes_few_tries_of_which_few_fit() -> None:
    """Off as for resnet18 on an H200: what fits takes two whole steps, what does not a part of one."""
    draw = random.Random(13)
    tries, fitting = [], []
    for _ in range(2000):
        predicted = draw.randint(20, 5000)
        tried = Tried(round(predicted * draw.uniform(0.65, 1.1)))
        nearly_largest(tried, predicted, 1)
        tries.append(len(tried.fitting) + len(tried.missing))
        fitting.append(len(tried.fitting))
    assert max(tries) <= 12
    assert sum(tries) / len(tries) <= 7.5
    assert sum(fitting) / len(fitting) <= 3


@pytest.mark.parametrize(("predicted", "truth"), [(50, 1), (2, 0), (1, 1)])
def test_nothing_is_tried_below_the_least(predicted: int, truth: int) -> None:
    tried = Tried(truth)
    assert nearly_largest(tried, predicted, 2) is None
    assert min(tried.missing) == 2


@pytest.mark.parametrize(("least", "most", "second"), [(2, 50, 2), (2, 50, 1), (2, 2, 2), (5, 6, 3)])
def test_a_second_question_that_is_the_first_is_the_next_one(least: int, most: int, second: int) -> None:
    """As a batch size of 2 with a memory limit asks."""
    assert largest(lambda n: 10 * n, 305, least, most, second) == min(30, most)
