"""The pytest plugin: the fixture `gradient_fidelity`. It is imported at every start of pytest, so it imports little."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

__all__ = ["gradient_fidelity"]


@pytest.fixture
def gradient_fidelity() -> Callable[..., Any]:
    """Assert that a method keeps the gradients: `gradbench.testing.assert_gradient_fidelity`."""
    from gradbench.testing import assert_gradient_fidelity

    return assert_gradient_fidelity
