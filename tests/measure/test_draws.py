"""What a random strategy draws is told from the rest of its error, by a sum over draws written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from gradbench.calibrate.planted import Planted, Probe, mean_output
from gradbench.measure.errors import GradientErrors
from gradbench.measure.gradients import measure_gradients
from gradbench.strategies.stored import Stored

MINIBATCHES, DRAWS, ENTRIES = 5, 4, 6


def measured(random: bool, draws: int) -> tuple[GradientErrors, list[Tensor], list[Tensor]]:
    """Return what is measured, the minibatches' gradients, and the errors in the order in which they were drawn."""
    torch.manual_seed(0)
    images = [torch.randn(1, ENTRIES) for _ in range(MINIBATCHES)]
    drawn: list[Tensor] = []

    def change(name: str, gradient: Tensor) -> Tensor:
        drawn.append(torch.from_numpy(np.random.default_rng(len(drawn)).normal(size=(2, 3))).float())
        return gradient + drawn[-1]

    strategy = Planted(change, random=random)
    batches = [(image, torch.zeros(1)) for image in images]
    found = measure_gradients(
        Probe({"weight": (2, 3)}), Stored(), [strategy], batches, 0, loss=mean_output, draws=draws
    )
    return found["planted"].gradients[0], images, drawn


def test_the_variance_of_draws_is_that_within_a_minibatch() -> None:
    found, images, drawn = measured(random=True, draws=DRAWS)
    del drawn[1]  # the first minibatch's gradient once more, for repeat_error
    errors = torch.stack(drawn).double().view(MINIBATCHES, DRAWS, ENTRIES)
    noise = torch.stack(images).double().view(MINIBATCHES, ENTRIES).var(0).sum()
    assert found.draw_variance_ratio == pytest.approx(float(errors.var(1).sum(1).mean() / noise), rel=1e-6)
    assert found.noise_ratio == pytest.approx(float(errors[:, 0].square().sum(1).mean() / noise), rel=1e-6)
    assert found.draw_variance_low < found.draw_variance_ratio < found.draw_variance_high


@pytest.mark.parametrize(("random", "draws"), [(False, DRAWS), (True, 1)])
def test_without_draws_there_is_no_number(random: bool, draws: int) -> None:
    found, _, drawn = measured(random, draws)
    assert len(drawn) == MINIBATCHES + 1
    assert np.isnan([found.draw_variance_ratio, found.draw_variance_low, found.draw_variance_high]).all()
