"""The calibration itself: it passes, and it fails where the instrument is wrong."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable

import pytest
import torch
from click.testing import CliRunner
from scipy.stats import binomtest

from gradbench.calibrate import batch_size, duration, faults, noise
from gradbench.calibrate.batch_size import calibrate_batch_size
from gradbench.calibrate.count import Estimate, binomial_interval, count, exact
from gradbench.calibrate.duration import calibrate_duration
from gradbench.calibrate.faults import CHECKS, Found, find_faults
from gradbench.calibrate.inverses import calibrate_inverses
from gradbench.calibrate.memory import calibrate_memory
from gradbench.calibrate.noise import calibrate_noise
from gradbench.calibrate.rounding import calibrate_rounding
from gradbench.calibrate.sgd import calibrate_sgd
from gradbench.calibrate.suite import Calibration
from gradbench.cli.main import cli
from gradbench.measure import cost, gradients
from gradbench.measure.errors import GradientErrors
from gradbench.measure.explain import Explanation, explain


@pytest.mark.parametrize(("inside", "of"), [(0, 7), (7, 7), (380, 400), (1, 2)])
def test_the_binomial_interval_is_clopper_and_pearsons(inside: int, of: int) -> None:
    expected = binomtest(inside, of).proportion_ci(0.999, method="exact")
    assert binomial_interval(inside, of) == pytest.approx((expected.low, expected.high))


def test_a_line_is_ok_as_long_as_95_percent_are_within_reach() -> None:
    def of_400(inside: int) -> bool:
        hits, misses = [Estimate(1.0, 0.0, 2.0)] * inside, [Estimate(1.0, 2.0, 3.0)] * (400 - inside)
        return count("", "", 1.0, hits + misses).ok

    assert of_400(400)
    assert of_400(366)
    assert not of_400(360)


def test_an_unbiased_mean_must_be_near() -> None:
    estimates = [Estimate(value, 0.0, 9.0) for value in (1.9, 2.0, 2.1)]
    assert count("", "", 2.1, estimates, unbiased=True).ok
    assert not count("", "", 2.3, estimates, unbiased=True).ok
    assert count("", "", 2.3, estimates).ok
    assert not exact("", "", 4, 5).ok


@pytest.mark.parametrize(
    ("part", "repetitions"),
    [
        (calibrate_noise, 8),
        (calibrate_sgd, 8),
        (calibrate_rounding, 16),
        (calibrate_batch_size, 16),
        (calibrate_inverses, 8),
    ],
)
def test_every_number_is_where_it_says(part, repetitions: int) -> None:  # noqa: ANN001
    counts = list(part(repetitions, seed=1))
    assert len(counts) > 5
    assert [one.what for one in counts if not one.ok] == []


def test_memory_is_what_the_hand_counts() -> None:
    assert [one for one in calibrate_memory() if not one.ok] == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_memory_on_a_gpu_is_what_the_hand_counts() -> None:
    assert [one for one in calibrate_memory("cuda") if not one.ok] == []


@pytest.fixture(scope="module")
def found() -> list[Found]:
    return list(find_faults(seed=2))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_kernel_of_known_length_lengthens_a_step_by_it() -> None:
    assert [one for one in calibrate_duration(8, "cuda") if not one.ok] == []


def test_a_delay_lengthens_a_step_by_what_it_took_on_a_clock_that_is_not_disturbed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, jitter = [0.0], random.Random(5)  # its own: measuring leaves the global stream where it was

    def delay(seconds: float) -> Callable[[], float]:
        now[0] += seconds
        return lambda: seconds

    def clock(device: torch.device) -> float:
        now[0] += jitter.uniform(0, 2e-6)
        return now[0]

    monkeypatch.setattr(duration, "_spin", delay)
    monkeypatch.setattr(cost, "_now", clock)
    assert [one.ok for one in calibrate_duration(3)] == [True, True]

    def longer_than_it_says(seconds: float) -> Callable[[], float]:
        delay(1.1 * seconds)
        return lambda: seconds

    monkeypatch.setattr(duration, "_spin", longer_than_it_says)
    assert [one.ok for one in calibrate_duration(8)] == [False, False]


def test_an_extrapolation_that_lets_a_bias_shrink_is_not_ok(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = batch_size.extrapolated
    monkeypatch.setattr(batch_size, "extrapolated", lambda rows, count, factor: honest(rows, count, 1.0))
    wrong = [one.what for one in calibrate_batch_size(16, seed=1) if not one.ok]
    assert wrong == ["extrapolated: biased, from 4 to 16 images", "extrapolated: nearly all bias, from 4 to 16 images"]


def test_each_fault_is_found_by_its_check_and_no_check_speaks_without_one(found: list[Found]) -> None:
    assert [one for one in found if not one.ok] == []
    assert not found[0].check
    assert not found[0].caught
    assert len(found) >= 8


def test_explain_names_the_layer_that_has_the_fault(found: list[Found]) -> None:
    assert [one.blamed for one in found] == [one.layer for one in found]
    assert {one.layer for one in found} == {"", "convolution1", "norm1", "dropout"}


def test_a_check_that_is_blind_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CHECKS, "zeroed_channels", lambda found: "")
    monkeypatch.setattr(faults, "_FAULTS", faults._FAULTS[2:5])
    assert [one.fault for one in find_faults(seed=2) if not one.ok] == ["one channel zeroed"]


def test_an_explanation_that_names_the_neighbour_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def next_door(*arguments, **options) -> Explanation:  # noqa: ANN002, ANN003
        found = explain(*arguments, **options)
        return dataclasses.replace(found, guilty=found.guilty and "tanh1")

    monkeypatch.setattr(faults, "explain", next_door)
    monkeypatch.setattr(faults, "_FAULTS", faults._FAULTS[:2])
    assert [one.ok for one in find_faults(seed=2)] == [True, False]


def test_a_number_that_is_off_is_not_ok(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = gradients.gradient_errors
    columns = {"rel_error": "rel_error", "cosine": "cosine", "noise_ratio": "noise", "bias_ratio": "bias"}

    def off(*arguments) -> list[GradientErrors]:  # noqa: ANN002
        ends = [f"{stem}{end}" for stem in ("sgd_variance", *columns.values()) for end in ("_low", "_high")]
        names = ["sgd_variance", *columns, *ends]
        return [
            dataclasses.replace(one, **{name: 1.2 * getattr(one, name) for name in names}) for one in honest(*arguments)
        ]

    monkeypatch.setattr(gradients, "gradient_errors", off)
    monkeypatch.setattr(noise, "MINIBATCHES", (16,))
    wrong = {one.what.partition(":")[0] for one in calibrate_noise(16, seed=1) if not one.ok}
    assert wrong == {"snr_db", "sgd_variance", *columns}


@pytest.mark.parametrize("ok", [True, False])
def test_the_verb_prints_every_line_and_fails_when_one_is_not_ok(
    ok: bool, found: list[Found], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def fake(repetitions: int, seed: int, say) -> Calibration:  # noqa: ANN001
        seen.append((repetitions, seed))
        counts = [Estimate(2.0, 1.0, 3.0), Estimate(2.5, 1.0, 3.0)]
        return Calibration((count("a group", "a number", 2.0 if ok else 9.0, counts * 9),), tuple(found))

    monkeypatch.setattr("gradbench.calibrate.suite.calibrate", fake)
    result = CliRunner().invoke(cli, ["calibrate", "--repetitions", "18", "--seed", "3"])
    assert result.exit_code == (0 if ok else 1)
    assert seen == [(18, 3)]
    (line,) = (line for line in result.stdout.splitlines() if line.startswith("a number"))
    assert line.split()[-1] == ("ok" if ok else "not")
    assert ("18 of 18" if ok else "0 of 18") in line
    printed = json.loads(CliRunner().invoke(cli, ["calibrate", "--json"]).stdout)
    assert printed["ok"] is ok
    assert printed["counts"][0]["of"] == 18
    assert {one["fault"] for one in printed["faults"]} >= {"one channel zeroed"}
