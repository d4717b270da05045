"""A record of a model: what of it is other than it was, and how it is put back."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor, nn

from gradbench.measure.batch import same_bits

__all__ = ["Record"]

_CONTAINERS = (dict, list, set, deque)
#: Whose entries have names of their own, `0.weight`; all that is in another container has the container's.
_MEMBERS = ("_parameters", "_buffers", "_modules")
_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")
#: What is the same where it is equal; of all else only the object itself is.
_VALUES = (bool, int, float, complex, str, bytes, MethodType, torch.device, torch.dtype)
_ABSENT = object()


@dataclass(frozen=True)
class _Kept:
    """A tensor as it was: `data` shares its memory then, `value` has its bits, None where they cannot be compared."""

    name: str
    tensor: Tensor
    data: Tensor
    value: Tensor | None
    requires_grad: bool
    hooks: tuple[dict[Any, Any], ...]
    grad: Tensor | None


class Record:
    """A model as it is now: its modules' attributes, members and hooks, every tensor's bits, hooks and `grad` field.

    Lists, dicts, sets and deques are followed to any depth, and so are modules and tensors in them; other objects are
    known by their identity. It takes the memory of one more copy of all tensors.

    Args:
        model: what it is a record of.
        earlier: a record of the same model, whose tensors have the same bits now, and are not copied again.

    Attributes:
        model: what it is a record of.
    """

    def __init__(self, model: nn.Module, earlier: Record | None = None) -> None:
        self.model = model
        self._modules: list[tuple[str, nn.Module, type, dict[str, Any]]] = []
        self._members: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
        self._containers: list[tuple[str, Any, Any]] = []
        self._tensors: list[_Kept] = []
        self._values: dict[int, Tensor | None] = dict(earlier._values) if earlier else {}
        self._passed_over: set[str] = earlier._passed_over if earlier else set()
        self._seen: set[int] = set()
        # What is found in a module's attributes, and what TorchScript keeps elsewhere.
        for name, one in [*model.named_modules(), *model.named_parameters(), *model.named_buffers()]:
            self._take(name, one)
        #: A step changes buffers, and whoever measures steps compares them and puts them back.
        self._buffers = {id(buffer) for buffer in model.buffers()}

    def pass_over_changes(self) -> None:
        """Let what is other now be no change, such as a counter that every forward pass moves."""
        self._passed_over.update(self.changed())

    def changed(self) -> list[str]:
        """Return the names of what is other than it was; values of buffers and `grad` fields are not looked at."""
        return [name for name in dict.fromkeys(self._differing()) if name not in self._passed_over]

    def restore(self) -> None:
        """Put back everything, the values of buffers and the `grad` fields too."""
        for _, module, kind, attributes in self._modules:
            if type(module) is not kind:
                module.__class__ = kind
            vars(module).clear()
            vars(module).update(attributes)
        for _, container, content in [*self._members, *self._containers]:
            if not _same(type(content)(container), content):
                container.clear()
                container.update(content) if isinstance(container, dict | set) else container.extend(content)
        with torch.no_grad():
            for kept in self._tensors:
                _put_back(kept)

    def _take(self, name: str, value: Any) -> None:
        if not isinstance(value, (nn.Module, Tensor, tuple, *_CONTAINERS)) or id(value) in self._seen:
            return
        self._seen.add(id(value))
        if isinstance(value, nn.Module):
            self._modules.append((name, value, type(value), dict(vars(value))))
            for key, each in vars(value).items():
                if key in _MEMBERS and isinstance(each, dict):
                    self._members.append((name, each, dict(each)))
                    for member, one in each.items():
                        self._take(_below(name, member), one)
                else:
                    self._take(_below(name, key), each)
        elif isinstance(value, Tensor):
            if id(value) not in self._values:
                self._values[id(value)] = value.detach().clone() if _has_bits(value) else None
            self._tensors.append(_kept(name, value, self._values[id(value)]))
        else:
            if not isinstance(value, tuple):
                kind = next((kind for kind in (dict, set) if isinstance(value, kind)), list)
                self._containers.append((name, value, kind(value)))
            for each in value.values() if isinstance(value, dict) else value:
                self._take(name, each)

    def _differing(self) -> Iterator[str]:
        for name, module, kind, attributes in self._modules:
            now = vars(module)
            if type(module) is not kind:
                yield _below(name, "__class__")
            for key in {**attributes, **now}:
                if not _same(_looked_up(kind, module, attributes, key), _looked_up(kind, module, now, key)):
                    yield _below(name, key)
        for name, members, content in self._members:
            differing = [key for key in {**content, **members} if content.get(key) is not members.get(key)]
            if not differing and list(members) != list(content):
                yield _below(name, "the order of its members")
            yield from (_below(name, key) for key in differing)
        for name, container, content in self._containers:
            if not _same(type(content)(container), content):
                yield name
        for kept in self._tensors:
            yield from self._differing_tensor(kept)

    def _differing_tensor(self, kept: _Kept) -> Iterator[str]:
        tensor = kept.tensor
        if _form(tensor) != _form(kept.data) or (
            id(tensor) not in self._buffers and kept.value is not None and not same_bits(tensor, kept.value)
        ):
            yield kept.name
        if tensor.requires_grad != kept.requires_grad:
            yield _below(kept.name, "requires_grad")
        for hooks, before, now in zip(_HOOKS, kept.hooks, _hooks(tensor), strict=True):
            if now != before:
                yield _below(kept.name, hooks)


def _below(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key


def _looked_up(kind: type, module: nn.Module, own: Mapping[str, Any], key: str) -> Any:
    """Return what `module.key` was with these attributes of its own: without one, its class's method or value."""
    if key in own:
        return own[key]
    found = getattr(kind, key, _ABSENT)
    return MethodType(found, module) if isinstance(found, FunctionType) else found


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, set):
        return bool(one == other)
    if isinstance(one, list | tuple | deque):
        return len(one) == len(other) and all(map(_same, one, other))
    return isinstance(one, _VALUES) and bool(one == other)


def _kept(name: str, tensor: Tensor, value: Tensor | None) -> _Kept:
    grad = tensor.grad if tensor.is_leaf else None
    return _Kept(name, tensor, tensor.detach(), value, tensor.requires_grad, _hooks(tensor), grad)


def _has_bits(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and not (tensor.is_quantized or tensor.is_nested or tensor.is_meta)


def _hooks(tensor: Tensor) -> tuple[dict[Any, Any], ...]:
    return tuple(dict(getattr(tensor, name, None) or {}) for name in _HOOKS)


def _form(tensor: Tensor) -> tuple[Any, ...]:
    strides = tensor.stride() if _has_bits(tensor) else ()
    return tensor.shape, strides, tensor.dtype, tensor.device, tensor.layout


def _put_back(kept: _Kept) -> None:
    tensor, data = kept.tensor, kept.data
    if _form(tensor) != _form(data) or (kept.value is not None and tensor.data_ptr() != data.data_ptr()):
        tensor.data = data
    if kept.value is not None and not same_bits(data, kept.value):
        data.copy_(kept.value)
    for name, before, now in zip(_HOOKS, kept.hooks, _hooks(tensor), strict=True):
        if now != before:
            hooks = getattr(tensor, name)
            hooks.clear()
            hooks.update(before)
    if tensor.is_leaf:
        tensor.requires_grad_(kept.requires_grad)
        tensor.grad = kept.grad
