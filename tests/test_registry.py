"""What may stand behind a name: values, a range of numbers, or nothing, and what is said of anything else."""

from __future__ import annotations

import pytest

from gradbench.errors import UsageError
from gradbench.registry import Entry, Numbers, Registry

TARGET = "builtins:list"
REGISTRY = Registry(
    "strategy",
    "gradbench.tests.none",
    {
        "alone": Entry(TARGET, ""),
        "bits": Entry(TARGET, "", argument="bits", allowed=(2, 4)),
        "every": Entry(TARGET, "", argument="length", allowed=("sqrt",), numbers=Numbers(1), optional=True),
        "share": Entry(TARGET, "", argument="budget", numbers=Numbers(0, 1, whole=False)),
        "size": Entry(TARGET, "", argument="size", numbers=Numbers(0, whole=False)),
    },
)


@pytest.mark.parametrize(
    "spec", ["alone", "bits:2", "every", "every:1", "every:40", "every:sqrt", "share:0.25", "size:1e-5"]
)
def test_what_is_allowed(spec: str) -> None:
    assert REGISTRY.check(spec) is None


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("alone:2", "strategy 'alone' takes no argument, got 'alone:2'"),
        ("bits", "strategy 'bits' needs its bits: allowed are bits:2, bits:4"),
        ("bits:3", "strategy 'bits:3': bits '3' is not allowed; allowed are bits:2, bits:4"),
        ("bits:02", "strategy 'bits:02': bits '02' is not allowed; allowed are bits:2, bits:4"),
        *(
            (
                f"every:{text}",
                f"strategy 'every:{text}': length '{text}' is not allowed; "
                "allowed are every, every:sqrt, every:K where K is a whole number of at least 1",
            )
            for text in ("0", "-1", "2.0", "+2", "01", " 2", "SQRT", "", "1_000")
        ),
        ("share", "strategy 'share' needs its budget: allowed are share:K where K is a number from 0 to 1"),
        *(
            (
                f"share:{text}",
                f"strategy 'share:{text}': budget '{text}' is not allowed; "
                "allowed are share:K where K is a number from 0 to 1",
            )
            for text in ("1.5", "-0.1", "0.50", "nan", "inf", "half")
        ),
        *(
            (
                f"size:{text}",
                f"strategy 'size:{text}': size '{text}' is not allowed; "
                "allowed are size:K where K is a number of at least 0",
            )
            for text in ("1e-05", "0.00001", "1E-5", "1.0", "1e2", "-1", "inf", "nan")
        ),
        ("bit:2", "unknown strategy 'bit': allowed are alone, bits, every, share, size; did you mean 'bits'?"),
    ],
)
def test_what_is_not_is_answered_by_a_sentence(spec: str, problem: str) -> None:
    assert REGISTRY.check(spec) == problem
    with pytest.raises(UsageError) as raised:
        REGISTRY.create(spec)
    assert str(raised.value) == problem


def test_an_argument_is_given_as_what_it_is() -> None:
    entry = Entry("", "", argument="length", allowed=("sqrt", 8), numbers=Numbers(0, 1, whole=False))
    assert [entry.read(text) for text in ("sqrt", "8", "0.5", "1", "9")] == ["sqrt", 8, 0.5, 1.0, None]
    assert (entry.spelled("x"), entry.choices) == ("x:K", ("sqrt", 8, "a number from 0 to 1"))
    assert REGISTRY["every"].spelled("every") == "every[:K]"
    assert REGISTRY["alone"].spelled("alone") == "alone"
