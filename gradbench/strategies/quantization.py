"""Activations kept in K bits: what `approximate:K` and `naive-quantize:K` share.

Autograd's saved-tensor hooks replace each activation that the backward pass will need by a handle. A batch norm and the
activation after it share one quantised copy, as in Chakrabarti and Moseley: the codes are of the norm's output y, and
from them come the norm's input ((y - beta) / gamma * sigma + mean), the gate of the activation (the sign, exact) and
the activation's output, which the next convolution needs. Any other input of a convolution, whose backward pass needs
values and no signs, gets codes centred at its mean; whatever else is saved gets codes that keep the sign.
Weights, images, tensors of fewer than four axes and integers are kept as they are.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn

from gradbench.invertible import InvertibleBatchNorm, InvertibleLeakyReLU, storing
from gradbench.strategies.quantizer import channel_moments, decode, encode

__all__ = ["quantized_activations"]

_NORMS = (InvertibleBatchNorm, nn.BatchNorm2d)
_ACTIVATIONS = (InvertibleLeakyReLU, nn.ReLU, nn.LeakyReLU)


class _Handle:
    """What autograd keeps in the place of an activation: a way to make the tensor when the backward pass asks."""

    def __init__(self, make: Callable[[], Tensor]) -> None:
        self.make = make


class _Activations:
    """Which live tensor has which handle, while one model runs under the strategy."""

    def __init__(self, model: nn.Module, bits: int, exact_forward: bool) -> None:
        self.bits = bits
        self.exact_forward = exact_forward
        self.parameters = {_storage(parameter) for parameter in model.parameters()}
        self.images: set[int] = set()
        # Handles are held by autograd's graph and by the tensor they stand for: with these they go. An entry goes with
        # the tensor's memory, before its address can be used again.
        self.handles: WeakValueDictionary[Hashable, _Handle] = WeakValueDictionary()
        #: Those that serve convolutions alone, since they do not keep the sign.
        self.values: WeakValueDictionary[Hashable, _Handle] = WeakValueDictionary()
        self.waiting: dict[Hashable, _Handle] = {}
        self.convolving: dict[Hashable, _Handle] = {}
        self.activating: _Handle | None = None

    def is_exact(self, x: Tensor) -> bool:
        """Whether x is kept as it is: a weight, or the batch itself."""
        return _storage(x) in self.parameters or _storage(x) in self.images

    def pack(self, x: Tensor) -> Any:
        """Return what autograd shall keep for x."""
        if x.dim() < 4 or not x.is_floating_point() or self.is_exact(x):
            return x
        key = _key(x)
        handle = self.handles.get(key) or self.waiting.get(key) or self.convolving.get(key) or self.activating
        return handle or self.quantize(x, *channel_moments(x.detach()))

    def unpack(self, kept: Any) -> Tensor:
        """Return the tensor that the backward pass shall see."""
        return kept.make() if isinstance(kept, _Handle) else kept

    def remember(
        self, x: Tensor, handle: _Handle, table: WeakValueDictionary[Hashable, _Handle] | None = None
    ) -> _Handle:
        """Give the live tensor x this handle, for whoever saves it next."""
        key, known = _key(x), self.handles if table is None else table
        known[key] = handle
        weakref.finalize(x.untyped_storage(), known.pop, key, None).atexit = False
        return handle

    def quantize(self, x: Tensor, mean: Tensor, scale: Tensor) -> _Handle:
        """Quantise x: (N, C, H, W) and give it the handle that decodes it."""
        codes = encode(x, mean, scale, self.bits)
        return self.remember(x, _Handle(lambda: decode(codes)))

    # The hooks on modules, in the order in which they fire.

    def keep_exact(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Before the model: its input is the batch, which is alive anyway."""
        self.images = {_storage(x) for x in inputs if isinstance(x, Tensor)}

    def before_norm(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Before a norm: its inputs wait for their handle until its outputs are there."""
        self.waiting = {_key(x): _Handle(_not_yet) for x in inputs}

    def after_norm(self, module: nn.Module, inputs: tuple[Tensor, ...], outputs: Any) -> Any:
        """After a norm: quantise its outputs, and derive its inputs from the same codes."""
        results: list[tuple[Tensor, _Handle | None]] = []
        first = 0
        for x, y in zip(inputs, _several(outputs), strict=True):
            channels = slice(first, first + x.shape[1])
            first += x.shape[1]
            gamma, beta = _affine(module, channels)
            mean, variance = _moments(module, channels, x)
            sigma = (variance + module.eps).sqrt()
            handle = self.quantize(y, beta, gamma)
            gain = sigma / torch.where(gamma.abs() < 1e-8, torch.full_like(gamma, 1e-8), gamma)
            self.waiting[_key(x)].make = _input_of_norm(handle, beta, gain, mean)
            if not self.exact_forward:
                y = _straight_through(y, handle)
                self.remember(y, handle)
            results.append((y, handle))
        self.waiting = {}
        return self.alive(outputs, results)

    def before_activation(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Before an activation: some keep their output, which then comes from the handle of their input."""
        handle = self.handles.get(_key(inputs[0])) if len(inputs) == 1 else None
        self.activating = _Handle(_activated(handle, _slope(module))) if handle else None

    def after_activation(self, module: nn.Module, inputs: tuple[Tensor, ...], outputs: Any) -> Any:
        """After an activation: its outputs come from the handles of its inputs, where these have one."""
        results, self.activating = [], None
        for x, y in zip(inputs, _several(outputs), strict=True):
            handle = self.handles.get(_key(x))
            if handle is not None:
                handle = self.remember(y, _Handle(_activated(handle, _slope(module))))
            results.append((y, handle))
        return self.alive(outputs, results)

    def before_convolution(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
        """Before a convolution: quantise what it will save; in naive quantisation it also sees that."""
        (x,) = inputs
        key = _key(x)
        if self.is_exact(x) or key in self.handles:
            return None
        handle = self.values.get(key)
        if handle is None:
            codes = encode(x, *channel_moments(x.detach()), self.bits, keep_sign=False)
            handle = self.remember(x, _Handle(lambda: decode(codes)), self.values)
        self.convolving = {key: handle}
        if self.exact_forward:
            return None
        seen = _straight_through(x, handle)
        self.remember(seen, handle, self.values)
        self.convolving = {_key(seen): handle}
        return (seen,)

    def after_convolution(self, module: nn.Module, inputs: tuple[Tensor, ...], outputs: Any) -> None:
        """After a convolution: its handle is autograd's from now on."""
        self.convolving = {}

    def alive(self, outputs: Any, results: list[tuple[Tensor, _Handle | None]]) -> Any:
        """Tie each handle to the tensor it stands for, so that it lives until its consumers have run."""
        for y, handle in results:
            if handle is not None:
                y.gradbench_handle = handle  # type: ignore[attr-defined]
        tensors = tuple(y for y, _ in results)
        return tensors if isinstance(outputs, tuple) else tensors[0]


@contextmanager
def quantized_activations(model: nn.Module, bits: int, exact_forward: bool) -> Iterator[None]:
    """Run `model` with K-bit activations for the backward pass, or, unless `exact_forward`, for both passes."""
    activations = _Activations(model, bits, exact_forward)
    with storing(model), ExitStack() as hooks:
        hooks.callback(model.register_forward_pre_hook(activations.keep_exact).remove)
        for module in model.modules():
            if isinstance(module, _NORMS):
                hooks.callback(module.register_forward_pre_hook(activations.before_norm).remove)
                hooks.callback(module.register_forward_hook(activations.after_norm).remove)
            elif isinstance(module, _ACTIVATIONS):
                hooks.callback(module.register_forward_pre_hook(activations.before_activation).remove)
                hooks.callback(module.register_forward_hook(activations.after_activation).remove)
            elif isinstance(module, nn.Conv2d):
                hooks.callback(module.register_forward_pre_hook(activations.before_convolution).remove)
                hooks.callback(module.register_forward_hook(activations.after_convolution).remove)
        with torch.autograd.graph.saved_tensors_hooks(activations.pack, activations.unpack):
            yield


def _storage(x: Tensor) -> int:
    return x.untyped_storage()._cdata


def _key(x: Tensor) -> Hashable:
    return _storage(x), x.storage_offset(), x.shape, x.stride()


def _several(outputs: Any) -> tuple[Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def _not_yet() -> Tensor:
    raise RuntimeError("an activation was asked for before the batch norm that it enters had run")


def _affine(norm: nn.Module, channels: slice) -> tuple[Tensor, Tensor]:
    """Return the scale and shift that `norm` applies to these channels, each (C,)."""
    if norm.weight is None:
        ones = torch.ones_like(norm.running_mean[channels])
        return ones, torch.zeros_like(ones)
    scale = norm.scale() if isinstance(norm, InvertibleBatchNorm) else norm.weight
    return scale.detach()[channels], norm.bias.detach()[channels]


def _moments(norm: nn.Module, channels: slice, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the biased variance with which `norm` normalised x, each (C,)."""
    if norm.training or norm.running_mean is None:
        variance, mean = torch.var_mean(x.detach(), dim=(0, 2, 3), correction=0)
        return mean, variance
    return norm.running_mean[channels].clone(), norm.running_var[channels].clone()


def _input_of_norm(output: _Handle, beta: Tensor, gain: Tensor, mean: Tensor) -> Callable[[], Tensor]:
    """Return x = (y - beta) sigma / gamma + mean, made from y's handle; gain is sigma / gamma."""
    shape = (1, -1, 1, 1)
    return lambda: output.make().sub_(beta.view(shape)).mul_(gain.view(shape)).add_(mean.view(shape))


def _slope(activation: nn.Module) -> float:
    return float(getattr(activation, "negative_slope", 0.0))


def _activated(entering: _Handle, slope: float) -> Callable[[], Tensor]:
    return lambda: nn.functional.leaky_relu_(entering.make(), slope)


def _straight_through(x: Tensor, handle: _Handle) -> Tensor:
    """Return the decoded value with the gradient of the identity."""
    return x + (handle.make() - x).detach()
