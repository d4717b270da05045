"""The warnings of a package that is audited are not shown; all others are."""

from __future__ import annotations

import warnings

import pytest

from gradbench.auditing.quiet import quiet
from gradbench.strategies import STRATEGIES


@pytest.mark.parametrize(
    ("module", "shown"),
    [("fairscale.nn.checkpoint", False), ("fairscale", False), ("fairscalelike", True), ("mine", True)],
)
def test_only_the_packages_of_the_strategies_are_quiet(module: str, shown: bool) -> None:
    chosen = [STRATEGIES.create("fairscale-checkpoint"), STRATEGIES.create("checkpoint")]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with quiet(chosen):
            warnings.warn_explicit("None of the inputs", UserWarning, "file.py", 1, module)
        warnings.warn_explicit("afterwards", UserWarning, "file.py", 1, module)
    assert [str(one.message) for one in caught] == ["None of the inputs"] * shown + ["afterwards"]
