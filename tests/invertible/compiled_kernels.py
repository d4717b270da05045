"""Compile the kernels for a Hopper GPU, which needs none: `python -m tests.invertible.compiled_kernels`."""

from __future__ import annotations

import itertools

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from gradbench.invertible import kernels

NUMBERS = {"slope", "inverse_slope", "share"}
COUNTS = {"first", "tiles", "images", "channels", "pixels", "all_channels"}
GROUPS = {"x", "y", "dx", "dy"}


def main() -> None:
    """Compile each kernel in both orders, in two types."""
    jobs = itertools.product(
        (kernels._normalise_and_activate, kernels._sums, kernels._undo), ((False, "fp32"), (True, "bf16"))
    )
    count = 0
    for kernel, (last, kind) in jobs:
        fixed = {"rows": 32, "columns": 64, "last": last, "aligned": 4}
        types = {name: f"*{kind}" if name in GROUPS else "*fp32" for name in kernel.arg_names}
        types |= {name: "fp32" if name in NUMBERS else "i32" for name in types if name in NUMBERS | COUNTS}
        types |= dict.fromkeys(fixed, "constexpr")
        constants = {(kernel.arg_names.index(name),): value for name, value in fixed.items()}
        triton.compile(ASTSource(kernel, types, constexprs=constants), target=GPUTarget("cuda", 90, 32))
        count += 1
    print(f"{count} compiled")


if __name__ == "__main__":
    main()
