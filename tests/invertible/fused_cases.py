"""Norm and activation in one step, against float64 autograd on fresh random numbers.

`TRITON_INTERPRET=1 python -m tests.invertible.fused_cases` runs some cases with the kernels interpreted on the CPU.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import nn

from gradbench.invertible import Gradients, InvertibleBatchNorm, InvertibleLeakyReLU, State
from gradbench.invertible.fused import NormActivation
from gradbench.invertible.state import Memo, Owned

__all__ = ["CASES", "INTERPRETED", "Case", "check"]

#: What a number of the type may be off by, relative to the largest: several of its roundings, amplified.
ROUNDING = {torch.float32: 2e-6, torch.bfloat16: 2e-2, torch.float16: 2e-3}


class Case(NamedTuple):
    """A pair and its input."""

    shape: tuple[int, int, int, int]
    dtype: torch.dtype
    channels_last: bool
    norm_inverse: str
    training: bool

    def __str__(self) -> str:
        order = "channels_last" if self.channels_last else "contiguous"
        size = "x".join(map(str, self.shape))
        return f"{size}-{str(self.dtype)[6:]}-{order}-{self.norm_inverse}-{'train' if self.training else 'eval'}"


SHAPES = [(3, 5, 7, 5), (4, 8, 4, 4), (2, 3, 33, 40), (1, 70, 3, 3), (40, 16, 16, 16)]
#: Of the combinations of shape, type and order, each of which is compiled, every second one.
CASES = [
    Case(shape, dtype, channels_last, norm_inverse, training)
    for number, (shape, dtype, channels_last) in enumerate(itertools.product(SHAPES, ROUNDING, (False, True)))
    if (number // 2 + number) % 2
    for norm_inverse, training in itertools.product(("affine", "renormalize"), (True, False))
]
#: The interpreter is slow: each type, order, inverse and mode, and each shape but the last.
INTERPRETED = [
    Case((3, 5, 7, 5), torch.float32, False, "affine", True),
    Case((4, 8, 4, 4), torch.bfloat16, False, "affine", False),
    Case((2, 3, 33, 40), torch.float32, False, "affine", True),
    Case((3, 5, 7, 5), torch.float16, True, "affine", True),
    Case((1, 70, 3, 3), torch.float32, True, "renormalize", True),
    Case((4, 8, 4, 4), torch.float32, True, "renormalize", False),
]

Rerun = Callable[[NormActivation, State, Memo], State]
Back = Callable[[NormActivation, State, State, Memo, Gradients], tuple[State, State]]


def check(case: Case, rerun: Rerun, back: Back, device: str = "cpu") -> None:
    """Assert that `rerun` gives the output, and `back` the input and all gradients, in place if and only if owned."""
    groups = 2
    channels = groups * case.shape[1]
    norm = InvertibleBatchNorm(channels, norm_inverse=case.norm_inverse).to(device).train(case.training)  # type: ignore[arg-type]
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    pair = NormActivation(norm, InvertibleLeakyReLU(0.3))
    order = torch.channels_last if case.channels_last else torch.contiguous_format
    x, dy = (
        tuple(
            (scale * torch.randn(case.shape, device=device) + shift).to(case.dtype, memory_format=order)
            for _ in range(groups)
        )
        for scale, shift in ((2, 1), (1, 0.1))
    )
    leaves = tuple(tensor.double().requires_grad_() for tensor in x)
    truth = InvertibleBatchNorm(channels).to(device).double().train(case.training)
    truth.load_state_dict(norm.state_dict())
    out = pair.activation(*truth(*leaves))
    with torch.no_grad():
        _, memo = norm.run(x)
        y = rerun(pair, x, (memo, None))
        # Rounding moves a value next to 0 to the other side, where the slope is another: no fault of the step.
        dy = tuple(torch.where(a.sign() == b.sign(), one, 0) for a, b, one in zip(y, out, dy, strict=True))
    torch.autograd.backward(out, [tensor.double() for tensor in dy])
    with torch.no_grad():
        gradients = Gradients(norm.parameters())
        rebuilt, dx = back(pair, _copy(y), _copy(dy), (memo, None), gradients)
        # What is owned is written over, what is not stays.
        mine, own_dy, own_gradients = Owned(_copy(y)), Owned(_copy(dy)), Gradients(norm.parameters())
        in_place = back(pair, mine, own_dy, (memo, None), own_gradients)
        assert all(a.data_ptr() == b.data_ptr() for a, b in zip((*mine, *own_dy), _flat(in_place), strict=True))
        assert all(torch.equal(a, b) for a, b in zip((*rebuilt, *dx), _flat(in_place), strict=True))
        over = rerun(pair, Owned(_copy(x)), (memo, None))
        assert all(torch.equal(a, b) for a, b in zip(y, over, strict=True))
    tolerance = ROUNDING[case.dtype] * (20 if norm.weight.abs().min() < 0.1 else 10)
    n = x[0].numel() / case.shape[1]
    unbiased = 1 / (2 * n) if case.norm_inverse == "renormalize" and case.training else 0.0
    assert _error(y, out) < tolerance
    assert _error(rebuilt, leaves) < tolerance + 1.5 * unbiased
    assert _error(dx, tuple(leaf.grad for leaf in leaves)) < tolerance
    for parameter, true in ((norm.weight, truth.weight), (norm.bias, truth.bias)):
        assert _error((gradients.get(parameter),), (true.grad,)) < tolerance
        assert torch.equal(gradients.get(parameter), own_gradients.get(parameter))


def _copy(state: State) -> State:
    return tuple(tensor.clone() for tensor in state)


def _flat(states: tuple[State, State]) -> Iterator[torch.Tensor]:
    return itertools.chain(*states)


def _error(value: State, truth: State) -> float:
    found, true = (torch.cat([tensor.detach().double() for tensor in state], -1) for state in (value, truth))
    return float((found - true).norm() / true.norm())


def main() -> None:
    """Run the interpreted cases."""
    for case in INTERPRETED:
        torch.manual_seed(7)
        check(
            case,
            lambda pair, x, memo: pair.fused_rerun(x, memo[0]),
            lambda pair, y, dy, memo, gradients: pair.fused_backward_step(y, dy, memo[0], gradients),
        )
        print(f"{case} is right", flush=True)


if __name__ == "__main__":
    main()
