"""Activations kept in K bits: what `approximate:K` and `naive-quantize:K` share.

The functions that a model calls are intercepted, in modules and outside, and a handle takes the place of what autograd
saves inside them. A batch norm and the activation after it share one quantised copy, as in Chakrabarti and Moseley: the
codes are of the norm's output y, and from them come the norm's input ((y - beta) / gamma * sigma + mean), the gate of
the activation (the sign, exact) and the activation's output, which the next convolution needs. Any other input of a
convolution or a linear map, whose backward pass needs values and no signs, gets codes centred at its mean; what else
enters a (leaky) ReLU gets codes that keep the sign, and max pooling, which needs shapes only, shares what there is.

Everything else is exact: what other functions save (tanh, sigmoid, GELU, SiLU, softmax and attention, layer norm),
what these share with a convolution, tensors of fewer than three axes such as a classifier's input, and what is there
anyway, weights and the model's input.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from gradbench.invertible import Invertible, InvertibleLeakyReLU, storing
from gradbench.strategies.forward import forward_replaced
from gradbench.strategies.quantizer import channel_moments, decode, encode

__all__ = ["kept_exactly", "nothing_to_quantize", "quantized_activations"]

_CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d, F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
_PRODUCTS = {*_CONVOLUTIONS, F.linear}
_LEAKY = {F.leaky_relu, torch._C._nn.leaky_relu, torch._C._nn.leaky_relu_}
_RECTIFIERS = {*_LEAKY, F.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_}
_MAX_POOLINGS = {F.max_pool1d, F.max_pool2d, F.max_pool3d}
_BATCH_NORM = inspect.signature(F.batch_norm)


class _Handle:
    """What autograd keeps in the place of an activation: a way to make the tensor when the backward pass asks."""

    def __init__(self, make: Callable[[], Tensor]) -> None:
        self.make = make


class _Quantizing(TorchFunctionMode):
    """Which live tensor has which handle, while the forward pass of one model runs under the strategy."""

    def __init__(self, resident: Iterable[Tensor], bits: int, exact_forward: bool) -> None:
        super().__init__()
        self.bits = bits
        self.exact_forward = exact_forward
        self.resident = {_storage(tensor) for tensor in resident}
        # Handles are held by autograd's graph and by the tensor they stand for: with these they go. An entry goes with
        # the tensor's memory, before its address can be used again.
        self.handles: WeakValueDictionary[Hashable, _Handle] = WeakValueDictionary()
        #: Those that serve products alone, since they do not keep the sign.
        self.values: WeakValueDictionary[Hashable, _Handle] = WeakValueDictionary()
        #: How many activations were quantised.
        self.quantized = 0
        #: What something else has saved as it is.
        self.exact: set[Hashable] = set()
        #: Inside an intercepted function: what autograd keeps for which tensor, and for any other.
        self.serving: dict[Hashable, _Handle] = {}
        self.otherwise: Callable[[Tensor], _Handle | None] = _nothing

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        try:
            if func in _PRODUCTS:
                return self.product(func, *args, **kwargs)
            if func in _RECTIFIERS:
                return self.rectifier(func, *args, **kwargs)
            if func in _MAX_POOLINGS:
                return self.max_pooling(func, *args, **kwargs)
            if func is F.batch_norm:
                return self.batch_norm(**_BATCH_NORM.bind(*args, **kwargs).arguments)
            return func(*args, **kwargs)
        finally:
            self.serving, self.otherwise = {}, _nothing

    def pack(self, x: Tensor) -> Any:
        """Return what autograd shall keep for x."""
        if _storage(x) in self.resident:
            return x
        key = _key(x)
        handle = self.serving.get(key) or self.otherwise(x)
        if handle is None and self.is_activation(x) and key not in self.exact:
            self.exact.add(key)
            weakref.finalize(x.untyped_storage(), self.exact.discard, key).atexit = False
        return handle or x

    def is_activation(self, x: Tensor) -> bool:
        """Whether x may be quantised."""
        return x.dim() > 2 and x.is_floating_point() and _storage(x) not in self.resident

    def remember(
        self, x: Tensor, handle: _Handle, table: WeakValueDictionary[Hashable, _Handle] | None = None
    ) -> _Handle:
        """Give the live tensor x this handle, for whoever saves it next, and let it live as long as x."""
        key, known = _key(x), self.handles if table is None else table
        known[key] = handle
        weakref.finalize(x.untyped_storage(), known.pop, key, None).atexit = False
        return handle

    def quantize(self, x: Tensor, mean: Tensor, scale: Tensor) -> _Handle:
        """Quantise x: (N, C, ...) and give it the handle that decodes it."""
        codes = encode(x, mean, scale, self.bits)
        self.quantized += 1
        return self.remember(x, _Handle(lambda: decode(codes)))

    def signed(self, x: Tensor) -> _Handle | None:
        """Return a handle of x that keeps its signs."""
        if not self.is_activation(x):
            return None
        return self.handles.get(_key(x)) or self.quantize(x, *channel_moments(x.detach()))

    # The functions that are intercepted.

    def product(self, func: Callable[..., Any], input: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Quantise what a convolution or a linear map will save; in naive quantisation it also sees that."""
        x, key = input, _key(input)
        if not self.is_activation(x) or key in self.exact:
            return func(x, *args, **kwargs)
        handle = self.handles.get(key) or self.values.get(key)
        if handle is None:
            axis = -1 if func is F.linear else 1
            channels = x.detach().movedim(axis, 1)
            codes = encode(channels, *channel_moments(channels), self.bits, keep_sign=False)
            self.quantized += 1
            handle = self.remember(x, _Handle(lambda: decode(codes).movedim(1, axis)), self.values)
        if not self.exact_forward and key not in self.handles:
            x = _straight_through(x, handle)
            self.remember(x, handle, self.values)
        if torch.is_autocast_enabled(x.device.type) and x.dtype != torch.float64:
            x = x.to(torch.get_autocast_dtype(x.device.type))  # what the function would do, on another tensor
        storage, numel, dtype = _storage(x), x.numel(), x.dtype

        def saved_as(saved: Tensor) -> _Handle | None:
            shape = saved.shape  # a linear map saves a matrix
            same = _storage(saved) == storage and saved.numel() == numel
            return _Handle(lambda: handle.make().to(dtype).reshape(shape)) if same else None

        self.otherwise = saved_as
        return func(x, *args, **kwargs)

    def batch_norm(
        self,
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        """Quantise a norm's output, and derive its input from the same codes."""
        normalise = (running_mean, running_var, weight, bias, training, momentum, eps)
        if not self.is_activation(input):
            return F.batch_norm(input, *normalise)
        if running_mean is None or running_var is None or training:
            mean, std = channel_moments(input.detach())
        else:
            mean, std = running_mean.clone(), running_var.sqrt()
        waiting = self.handles.get(_key(input)) or _Handle(_not_yet)
        self.serving = {_key(input): waiting}
        y = F.batch_norm(input, *normalise)
        gamma = torch.ones_like(mean) if weight is None else weight.detach()
        beta = torch.zeros_like(mean) if bias is None else bias.detach()
        handle = self.quantize(y, beta, gamma)
        if waiting.make is _not_yet:
            gain = (std.square() + eps).sqrt() / torch.where(gamma.abs() < 1e-8, torch.full_like(gamma, 1e-8), gamma)
            waiting.make = _input_of_norm(handle, beta, gain, mean)
        if not self.exact_forward:
            y = _straight_through(y, handle)
            self.remember(y, handle)
        return _alive(y, handle)

    def rectifier(self, func: Callable[..., Any], input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Let a (leaky) ReLU have its gate, and what follows its output, from the copy of its input."""
        slope = kwargs.get("negative_slope", args[0] if args else 0.01) if func in _LEAKY else 0.0
        entering = self.handles.get(_key(input))
        if entering is None:
            self.otherwise = self.signed
            before = _key(input)
            y = func(input, *args, **kwargs)
            entering = self.handles.get(before)  # one that keeps its output has given that a handle
        else:
            leaving = _Handle(_activated(entering, slope))
            self.serving, self.otherwise = {_key(input): entering}, lambda y: leaving
            y = func(input, *args, **kwargs)
        if entering is not None:
            return _alive(y, self.remember(y, _Handle(_activated(entering, slope))))
        return y

    def max_pooling(self, func: Callable[..., Any], input: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Keep any copy of what is pooled: the backward pass needs its shape alone."""
        handle = self.handles.get(_key(input)) or self.values.get(_key(input))
        if handle is not None:
            self.serving = {_key(input): handle}
        else:
            self.otherwise = self.signed
        return func(input, *args, **kwargs)


@contextmanager
def quantized_activations(model: nn.Module, bits: int, exact_forward: bool) -> Iterator[list[int]]:
    """Run `model` with K-bit activations for the backward pass, or, unless `exact_forward`, for both passes.

    The list gets, after each forward pass, how many activations were quantised.
    """
    counts: list[int] = []
    forward = model.forward

    @torch.compiler.disable(reason="the functions that the model calls are intercepted")
    def run(*inputs: Any, **named: Any) -> Any:
        given = [x for x in tree_leaves((inputs, named)) if isinstance(x, Tensor) and x.is_leaf]
        quantizing = _Quantizing([*model.parameters(), *model.buffers(), *given], bits, exact_forward)
        with saved_tensors_hooks(quantizing.pack, _unpack), quantizing:
            output = forward(*inputs, **named)
        counts.append(quantizing.quantized)
        return output

    with storing(model), forward_replaced(model, run):
        yield counts


def nothing_to_quantize(model: nn.Module, forward: Callable[[], object]) -> str | None:
    """Return why no activation would be quantised in a forward pass, in one sentence, or None."""
    with torch.enable_grad(), quantized_activations(model, 8, exact_forward=True) as counts:
        forward()
    if any(counts):
        return None
    return (
        f"{type(model).__name__} has no convolution, linear map, batch norm or (leaky) ReLU whose input has three axes "
        "or more, so nothing would be quantised"
    )


def kept_exactly(model: nn.Module) -> list[str]:
    """Return, in a sentence, the modules of `model` whose activations are kept as they are."""
    smooth = {
        type(module).__name__
        for module in model.modules()
        if type(module).__module__ in ("torch.nn.modules.activation", "torch.nn.modules.normalization")
        or (isinstance(module, Invertible) and module.kind == "activation")
        if not isinstance(module, nn.ReLU | nn.LeakyReLU | InvertibleLeakyReLU)
    }
    if not smooth:
        return []
    return [f"what {', '.join(sorted(smooth))} keep for the backward pass stays exact: none is a (leaky) ReLU"]


def _unpack(kept: Any) -> Tensor:
    """Return the tensor that the backward pass shall see."""
    return kept.make() if isinstance(kept, _Handle) else kept


def _storage(x: Tensor) -> int:
    return x.untyped_storage()._cdata


def _key(x: Tensor) -> Hashable:
    version = 0 if x.is_inference() else x._version
    return _storage(x), x.storage_offset(), x.shape, x.stride(), version


def _nothing(x: Tensor) -> None:
    return None


def _not_yet() -> Tensor:
    raise RuntimeError("an activation was asked for before the batch norm that it enters had run")


def _alive(y: Tensor, handle: _Handle) -> Tensor:
    """Tie the handle to the tensor it stands for, so that it lives until its consumers have run."""
    y.gradbench_handle = handle  # type: ignore[attr-defined]
    return y


def _input_of_norm(output: _Handle, beta: Tensor, gain: Tensor, mean: Tensor) -> Callable[[], Tensor]:
    """Return x = (y - beta) sigma / gamma + mean, made from y's handle; gain is sigma / gamma."""

    def make() -> Tensor:
        y = output.make()
        shape = (1, -1, *[1] * (y.dim() - 2))
        return y.sub_(beta.view(shape)).mul_(gain.view(shape)).add_(mean.view(shape))

    return make


def _activated(entering: _Handle, slope: float) -> Callable[[], Tensor]:
    return lambda: F.leaky_relu_(entering.make(), slope)


def _straight_through(x: Tensor, handle: _Handle) -> Tensor:
    """Return the decoded value with the gradient of the identity."""
    return x + (handle.make() - x).detach()
