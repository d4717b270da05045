"""Training under one strategy: the same seed, initialisation, data order and schedule as under any other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradbench.case.schema import Train
from gradbench.data.batches import Batches
from gradbench.measure.batch import Batch, Loss
from gradbench.measure.step import take_step
from gradbench.strategies.base import Strategy

__all__ = ["Evaluation", "evaluate", "make_optimizer", "one_cycle", "train", "two_steps"]

EVALUATION_BATCH = 500


@dataclass(frozen=True)
class Evaluation:
    """A point of the learning curve: mean losses in nat, accuracy as a share.

    Attributes:
        step: optimiser steps taken.
        train_loss: mean over the minibatches since the last evaluation; NaN before the first step.
    """

    step: int
    train_loss: float
    loss: float
    accuracy: float

    @property
    def diverged(self) -> bool:
        """Whether a loss is not finite (a training loss exists from the first step on)."""
        return not math.isfinite(self.loss) or (self.step > 0 and not math.isfinite(self.train_loss))


def one_cycle(step: int, settings: Train) -> float:
    """Return the learning rate of a step: linear from 0 to the peak over the warm-up, then linear to 0."""
    rising = round(settings.warmup * settings.steps)
    if step < rising:
        return settings.learning_rate * (step + 1) / rising
    return settings.learning_rate * (settings.steps - step) / max(settings.steps - rising, 1)


def train(
    model: nn.Module,
    strategy: Strategy,
    batches: Batches,
    settings: Train,
    *,
    steps: int,
    curve: bool,
    at: Callable[[int], None] = lambda step: None,
) -> list[Evaluation]:
    """Train `model` in place with the case's optimiser and the one-cycle schedule.

    Args:
        model: freshly initialised.
        strategy: how each backward pass gets its activations. Evaluation always runs plain.
        batches: decided by its seed alone, so that every strategy sees the same.
        settings: the schedule always spans `settings.steps`.
        steps: how many of them to take.
        curve: whether to evaluate every `settings.evaluate_every` steps and at the end.
        at: called before each step and after the last, with the number of steps taken.

    Returns:
        The learning curve. It ends early, with a loss that is not finite, when training diverged.
    """
    optimizer = make_optimizer(model, settings)
    # What was found to fit into a memory limit is a step of training.
    at_a_time = min(EVALUATION_BATCH, batches.size) if settings.memory_limit else EVALUATION_BATCH
    points: list[Evaluation] = []
    since: list[Tensor] = []
    for step in range(steps + 1):
        at(step)
        if curve and (step % settings.evaluate_every == 0 or step == steps):
            recent = torch.stack(since).mean().item() if since else math.nan
            since.clear()
            loss, accuracy = evaluate(model, batches.test(settings.evaluate_images, at_a_time))
            points.append(Evaluation(step, recent, loss, accuracy))
            if points[-1].diverged:
                break
        if step == steps:
            break
        for group in optimizer.param_groups:
            group["lr"] = one_cycle(step, settings)
        x, y = batches.batch(step)
        model.train()
        optimizer.zero_grad(set_to_none=True)
        since.append(take_step(model, strategy, (x, y)))
        optimizer.step()
    return points


def two_steps(
    model: nn.Module, strategy: Strategy, batch: Batch, settings: Train, loss: Loss = F.cross_entropy
) -> None:
    """Take two steps of training on one minibatch, to see whether they fit: from the second on there is all there is.

    Args:
        model: in training mode.
        strategy: how its activations are had.
        batch: inputs and target.
        settings: whose optimiser, which has its state after the first step.
        loss: from output and target to the loss.

    Raises:
        torch.OutOfMemoryError: they do not.
    """
    optimizer = make_optimizer(model, settings)
    for _ in range(2):
        optimizer.zero_grad(set_to_none=True)
        take_step(model, strategy, batch, loss)
        optimizer.step()
    device = next(model.parameters()).device
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def make_optimizer(model: nn.Module, settings: Train) -> torch.optim.Optimizer:
    """Return the optimiser of a case."""
    parameters, momentum = model.parameters(), settings.momentum
    common = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    if settings.optimizer == "adam":
        return torch.optim.Adam(parameters, betas=(momentum, 0.999), **common)
    if settings.optimizer == "rmsprop":
        return torch.optim.RMSprop(parameters, momentum=momentum, **common)
    return torch.optim.SGD(parameters, momentum=momentum, nesterov=momentum > 0, **common)


def evaluate(model: nn.Module, test: Iterable[Batch]) -> tuple[float, float]:
    """Return mean test loss in nat and accuracy as a share, with running statistics, without a graph."""
    was_training = model.training
    model.eval()
    losses, correct, images = [], [], 0
    with torch.no_grad():
        for x, y in test:
            logits = model(x)
            losses.append(F.cross_entropy(logits, y, reduction="sum").double())
            correct.append((logits.argmax(1) == y).sum())
            images += len(y)
    model.train(was_training)
    return float(torch.stack(losses).sum()) / images, int(torch.stack(correct).sum()) / images
