"""A model that is compiled as a whole, or parts of which are, without `torch.compile`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import nn
from torch._dynamo import OptimizedModule

__all__ = ["eager"]


@contextmanager
def eager(model: nn.Module) -> Iterator[str]:
    """Let compiled modules run what they were made of, and give a sentence that says so, empty where none is compiled.

    Strategies change how modules run. Torch then compiles them again or never more, for whatever is measured next too,
    and compiled code draws other random numbers: what is found would depend on what was measured before.
    """
    compiled = [one for one in model.modules() if isinstance(one, OptimizedModule) or one._compiled_call_impl]
    before = [dict(vars(one)) for one in compiled]
    for one in compiled:
        vars(one)["_compiled_call_impl"] = None
        if isinstance(one, OptimizedModule):
            vars(one)["forward"] = partial(_call, one._orig_mod)
    try:
        yield "the model is compiled: it is measured without torch.compile" if compiled else ""
    finally:
        for one, attributes in zip(compiled, before, strict=True):
            vars(one).clear()
            vars(one).update(attributes)


def _call(module: nn.Module, *inputs: Any, **named: Any) -> Any:
    """Run a module, as a function of ours: what a strategy compiles begins at no function of torch's own."""
    return module(*inputs, **named)
