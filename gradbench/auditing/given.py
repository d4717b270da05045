"""What a user gives to an audit, checked before anything is measured: each mistake is one sentence."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from numbers import Integral
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from gradbench.auditing.protocol import Own
from gradbench.case.schema import Measure
from gradbench.case.sentences import mistakes_in
from gradbench.errors import UsageError
from gradbench.measure.batch import Batch, Loss, call, in_double, same_bits, tensors
from gradbench.measure.gradients import preserved
from gradbench.measure.out_of_memory import is_out_of_memory
from gradbench.measure.trial import in_one_line
from gradbench.strategies import STRATEGIES
from gradbench.strategies.base import Strategy
from gradbench.strategies.stored import Stored

__all__ = ["check_model", "check_training_step", "chosen", "taken", "to_measure", "why_no_truth"]

#: Minibatches that are taken of what need not end, such as a data loader.
OF_A_STREAM = 16


def check_model(model: nn.Module) -> torch.device:
    """Return where the model is.

    Raises:
        UsageError: it is no module or one of TorchScript, has parameters without a shape, complex ones or nothing to
            train, or is on several devices, or on one that holds no numbers.
    """
    if not isinstance(model, nn.Module):
        raise UsageError(f"model: a torch.nn.Module is needed, got {type(model).__name__}")
    if isinstance(model, torch.jit.ScriptModule):
        raise UsageError(f"model: {type(model).__name__} is made by TorchScript: give the module that it was made of")
    held = [*model.named_parameters(), *model.named_buffers()]
    if lazy := [name for name, tensor in held if is_lazy(tensor)]:
        raise UsageError(f"model: {lazy[0]} has no shape before the first forward pass: run the model once")
    if of_two_parts := [name for name, parameter in model.named_parameters() if parameter.is_complex()]:
        raise UsageError(f"model: {of_two_parts[0]} is complex: gradients of real parameters are measured")
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trained:
        raise UsageError(f"model: {type(model).__name__} has no parameter that requires a gradient")
    devices = dict.fromkeys(tensor.device for _, tensor in held)
    if len(devices) > 1:
        raise UsageError(f"model: it is on several devices ({', '.join(map(str, devices))}): one is needed")
    if trained[0].is_meta:
        raise UsageError("model: it is on the device meta, which holds no numbers: let it be on another, such as cpu")
    return trained[0].device


def to_measure(**settings: Any) -> Measure:
    """Return what is to be measured, by the names that it has in a case file.

    Raises:
        UsageError: a value that is not allowed.
    """
    try:
        return Measure(**settings)
    except ValidationError as error:
        first = mistakes_in(error, Measure, settings, ())[0]
        raise UsageError(f"{first.key}: {first.text}") from None


def chosen(strategies: Iterable[str | Any] | str) -> list[Strategy]:
    """Return the strategies that are named or given, without `stored`, which is the reference.

    Raises:
        UsageError: no list, an unknown name, an object that is no strategy or is called as the reference is, two of the
            same name, or none at all.
    """
    if not isinstance(strategies, Iterable):
        raise UsageError(f"strategies: a list of names or strategies is needed, got {type(strategies).__name__}")
    found = [_strategy(one) for one in ([strategies] if isinstance(strategies, str) else strategies)]
    names = [one.name for one in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"strategies: two are called {twice[0]!r}: each needs a name of its own")
    found = [one for one in found if one.name != "stored"]
    if not found:
        raise UsageError(f"strategies: none is given; allowed are {', '.join(STRATEGIES)}, or strategies of your own")
    return found


def _strategy(one: Any) -> Strategy:
    if isinstance(one, str):
        return STRATEGIES.create(one)  # type: ignore[no-any-return]
    if isinstance(one, type):
        raise UsageError(f"strategies: {one.__name__} is a class: give an instance of it")
    if not (isinstance(getattr(one, "name", None), str) and callable(getattr(one, "applied_to", None))):
        raise UsageError(f"strategies: {one!r} is no strategy: it needs a name and applied_to(model), a context")
    if one.name == "stored" and not isinstance(one, Stored):
        raise UsageError(f"strategies: {type(one).__name__} is called 'stored', as the reference is: rename it")
    return one if isinstance(one, Strategy) else Own(one)


def taken(batches: Iterable[Batch], count: int | None, device: torch.device) -> list[Batch]:
    """Return the minibatches as pairs: all of a list or tuple, `OF_A_STREAM` of anything else, or `count`.

    Raises:
        UsageError: `count` is no number, fewer than two, one that is no pair of inputs and target, or one that is
            elsewhere than `device`.
    """
    if not isinstance(batches, Iterable):
        raise UsageError(f"batches: pairs (inputs, target) are needed, got {type(batches).__name__}")
    if count is None and not isinstance(batches, Sequence):
        count = OF_A_STREAM
    if count is not None and not isinstance(count, Integral):
        raise UsageError(f"minibatches: a whole number of two or more is needed, got {count!r}")
    if count is not None and count < 2:
        raise UsageError(f"minibatches: {count} are too few: a gradient's noise needs two or more")
    pairs = []
    for place, batch in enumerate(islice(iter(batches), count)):
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            kind = f"{len(batch)} entries" if isinstance(batch, tuple | list) else type(batch).__name__
            raise UsageError(f"batches: minibatch {place} must be a pair (inputs, target), got {kind}")
        for tensor in tensors(list(batch)):
            if tensor.device != device:
                raise UsageError(
                    f"batches: minibatch {place} is on {tensor.device}, the model on {device}: move one to the other"
                )
        pairs.append((batch[0], batch[1]))
    if len(pairs) < 2:
        few = {0: "it is empty", 1: "it has one minibatch"}[len(pairs)]
        raise UsageError(f"batches: {few}; the noise of a gradient needs two or more, and an interval eight")
    return pairs


def check_training_step(model: nn.Module, reference: Strategy, batches: Sequence[Batch], loss: Loss) -> float:
    """Run stored training and return how far two passes over the first minibatch are apart: |g' - g| / |g|.

    Raises:
        UsageError: model or loss raises, the output has no tensor, the loss is no finite scalar or depends on no
            parameter, a gradient is sparse or not finite, the model writes into its input, or it is not repeatable.
    """
    if not callable(loss):
        raise UsageError(f"loss_fn: a function of output and target is needed, got {type(loss).__name__}")
    passes = []
    for _ in range(2):
        inputs, target = batches[0]
        before = [tensor.detach().clone() for tensor in tensors(list(batches[0]))]
        with preserved(model, 0):
            model.zero_grad(set_to_none=True)
            with reference.applied_to(model):
                value = _loss_of(model, batches[0], loss, 0)
                with _blamed("model: the backward pass of", model, 0, inputs):
                    value.backward()
            passes.append(_gradients(model))
        if not all(same_bits(now, then) for now, then in zip(tensors([inputs, target]), before, strict=True)):
            raise UsageError("model: it writes into its inputs, so that no step can be repeated: let it work on a copy")
    for place, batch in enumerate(batches[1:], 1):
        with preserved(model, place), torch.no_grad(), reference.applied_to(model):
            _loss_of(model, batch, loss, place)
    return _apart(*passes)


def why_no_truth(model: nn.Module, batch: Batch, loss: Loss) -> str:
    """Why a copy of the model in float64 gives no gradient to hold others against, in one sentence; "" where it does.

    Losses with float32 weights of their own, models that keep a tensor of the forward pass, and losses that look at the
    model itself are such. It clears the gradients of the model.
    """
    model.zero_grad(set_to_none=True)
    why = ""
    try:
        exact = copy.deepcopy(model).double()
        with preserved(exact, 0), torch.compiler.set_stance("force_eager"):
            inputs, target = in_double(batch)
            loss(call(exact, inputs), target).backward()
    except Exception as error:  # of a user's model or loss, which train in their own precision
        if is_out_of_memory(error):
            raise
        why = in_one_line(error)
    if any(parameter.grad is not None for parameter in model.parameters()):
        why = "the loss reaches the model itself, not its output alone"
        model.zero_grad(set_to_none=True)
    return f"no gradient in float64, and no verdict rounding: {why}" if why else ""


def _loss_of(model: nn.Module, batch: Batch, loss: Loss, place: int) -> Tensor:
    inputs, target = batch
    with _blamed("model:", model, place, inputs):
        output = call(model, inputs)
    if not any(True for _ in tensors(output)):
        raise UsageError(f"model: {type(model).__name__} returns no tensor: it returns {type(output).__name__}")
    with _blamed("loss_fn:", loss, place, (output, target)):
        value = loss(output, target)
    if not isinstance(value, Tensor):
        raise UsageError(f"loss_fn: it must return a tensor with one number, got {type(value).__name__}")
    if value.numel() != 1:
        raise UsageError(
            f"loss_fn: it must return one number, got a tensor of shape {list(value.shape)}: take its mean"
        )
    if not value.isfinite().all():
        raise UsageError(f"batches: the loss of minibatch {place} is {value.item()} with stored activations")
    if torch.is_grad_enabled() and not value.requires_grad:
        raise UsageError("loss_fn: the loss depends on no parameter of the model, so there is no gradient")
    return value


@contextmanager
def _blamed(what: str, who: Any, place: int, given: Any) -> Iterator[None]:
    """Say in one sentence who raised, and on what; the exception itself is the cause of that."""
    try:
        yield
    except Exception as error:  # whatever a user's model or loss does
        if is_out_of_memory(error):
            raise
        name = getattr(who, "__name__", type(who).__name__)
        shapes = ", ".join(f"{str(one.dtype).removeprefix('torch.')} {list(one.shape)}" for one in tensors(given))
        said = (str(error).strip().splitlines() or [""])[0]
        raise UsageError(
            f"{what} {name} raises {type(error).__name__} on minibatch {place} ({shapes or 'no tensor'}), with stored "
            f"activations: {said}"
        ) from error


def _gradients(model: nn.Module) -> dict[str, Tensor]:
    found = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    if not found:
        raise UsageError("loss_fn: the loss depends on no parameter of the model, so there is no gradient")
    for name, gradient in found.items():
        if gradient.layout != torch.strided:
            raise UsageError(f"model: the gradient of {name} is sparse: dense ones are measured, as of sparse=False")
        if not gradient.isfinite().all():
            raise UsageError(f"model: the gradient of {name} is not finite with stored activations")
    return {name: gradient.double() for name, gradient in found.items()}


def _apart(first: dict[str, Tensor], again: dict[str, Tensor]) -> float:
    """Return the relative distance of two passes' gradients.

    Raises:
        UsageError: it is larger than rounding can make it, the square root of the precision.
    """
    if first.keys() != again.keys():
        raise UsageError("model: two stored passes from the same random state give gradients to different parameters")
    apart = {name: float((again[name] - gradient).norm()) for name, gradient in first.items()}
    distance = math.hypot(*apart.values()) / max(math.hypot(*(float(g.norm()) for g in first.values())), 1e-300)
    if distance > math.sqrt(torch.finfo(torch.get_default_dtype()).eps):
        name = max(apart, key=lambda each: apart[each])
        raise UsageError(
            f"model: two stored passes over the same minibatch and from the same random state differ by {distance:.1g} "
            f"of the gradient, most in {name}: its random numbers come from no stream of torch, Python or NumPy, or it "
            "keeps a state of its own; nothing can be compared with it"
        )
    return distance
