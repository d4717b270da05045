"""The additive coupling: invertible whatever its branches are, and exactly, since it only adds and subtracts.

Gomez et al., The Reversible Residual Network, equations 6 to 9. Branches may be ordinary modules: they are recomputed
once, and the same recomputation serves the inverse and the gradients (a RevNet block). Or they are invertible
themselves: they are run again to invert the block, and then walk back inside by their own inverses (a hybrid block).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn

from gradbench.invertible.convolution import is_plain_convolution, pull_back_convolution
from gradbench.invertible.gradients import Gradients, recompute, vector_jacobian
from gradbench.invertible.protocol import Invertible, steps_of
from gradbench.invertible.replay import frozen_statistics
from gradbench.invertible.state import LayerError, Memo, Owned, State, added, as_output, as_state

__all__ = ["AdditiveCoupling", "SplitConvolution"]


class AdditiveCoupling(Invertible):
    """y1 = x1 + f(x2), y2 = x2 + g(y1); x1 and x2 are the halves of the state's groups.

    Args:
        f: from the second half's shapes to the first half's; a module that takes and returns k/2 tensors.
        g: from the first half's shapes to the second half's.
    """

    kind: ClassVar[str] = "coupling"

    def __init__(self, f: nn.Module, g: nn.Module) -> None:
        super().__init__()
        self.f, self.g = f, g

    def forward(self, *x: Tensor) -> Tensor | State:
        """Return y1 and y2, by plain autograd."""
        x1, x2 = _halves(x)
        y1 = _add("f", self.f, x1, _named("f", lambda: as_state(self.f(*x2))))
        y2 = _add("g", self.g, x2, _named("g", lambda: as_state(self.g(*y1))))
        return as_output(y1 + y2)

    def inverse(self, *y: Tensor) -> Tensor | State:
        """Return x1 and x2. Running statistics stay as they are."""
        y1, y2 = _halves(y)
        with frozen_statistics(self):
            x2 = tuple(a - b for a, b in zip(y2, as_state(self.g(*y1)), strict=True))
            x1 = tuple(a - b for a, b in zip(y1, as_state(self.f(*x2)), strict=True))
        return as_output(x1 + x2)

    def run(self, x: State) -> tuple[State, Memo]:
        """Return the output and the branches' memos."""
        x1, x2 = _halves(x)
        f, f_memo = _named("f", lambda: steps_of(self.f).run(tuple(x2)))
        y1 = _add("f", self.f, x1, f)
        del f
        g, g_memo = _named("g", lambda: steps_of(self.g).run(tuple(y1)))
        return Owned(y1 + _add("g", self.g, x2, g)), (f_memo, g_memo)

    def rerun(self, x: State, memo: Memo) -> State:
        """Return the same output again."""
        x1, x2 = _halves(x)
        y1 = added(x1, steps_of(self.f).rerun(tuple(x2), memo[0]))
        y2 = added(x2, steps_of(self.g).rerun(tuple(y1), memo[1]))
        return Owned(y1 + y2)

    def invert(self, y: State, memo: Memo) -> State:
        """Return the input; the branches' own inverses are not used."""
        y1, y2 = _halves(y)
        x2 = _subtracted(y2, steps_of(self.g).rerun(tuple(y1), memo[1]))
        return Owned(_subtracted(y1, steps_of(self.f).rerun(tuple(x2), memo[0])) + x2)

    def backward_step(self, y: State, dy: State, memo: Memo, gradients: Gradients) -> tuple[State, State]:
        """Undo g, then f, each run again once; values and gradients stay where they are, if they are owned."""
        y1, y2 = _halves(y)
        dy1, dy2 = _halves(dy)
        del dy  # so that each half is freed where it is replaced
        x2, dy1 = _undo(self.g, y1, y2, dy1, dy2, memo[1], gradients)
        x1, dy2 = _undo(self.f, x2, y1, dy2, dy1, memo[0], gradients)
        return Owned(x1 + x2), Owned(dy1 + dy2)


def _undo(
    branch: nn.Module, at: State, total: State, d_at: State, d_total: State, memo: Memo, gradients: Gradients
) -> tuple[State, State]:
    """Return total - branch(at), and d_at + the gradient through the branch."""
    value, pull_back = _run_again(branch, tuple(at), memo, gradients)
    rest = _subtracted(total, value)
    del value
    d_branch = pull_back(tuple(d_total))
    del pull_back  # and what it holds
    return rest, added(d_at, d_branch)


def _run_again(
    branch: nn.Module, at: State, memo: Memo, gradients: Gradients
) -> tuple[State, Callable[[State], State]]:
    """Return branch(at), and the function from its gradient to the gradient of `at`."""
    if isinstance(branch, Invertible):
        value = branch.rerun(at, memo)
        return value, lambda dy: branch.backward_step(value, dy, memo, gradients)[1]
    if is_plain_convolution(branch, at[0].device.type):
        return (branch(*at),), lambda dy: Owned((pull_back_convolution(branch, at[0], dy[0], gradients),))
    leaves, output = recompute(branch, at, memo)
    return tuple(t.detach() for t in output), lambda dy: vector_jacobian(branch, leaves, output, dy, gradients)


def _subtracted(total: State, value: State) -> State:
    if isinstance(total, Owned):
        return Owned(a.sub_(b) for a, b in zip(total, value, strict=True))
    return Owned(a - b for a, b in zip(total, value, strict=True))


def _halves(state: State) -> tuple[State, State]:
    """Return the two halves, owned if the state is: `tuple(half)` for whoever shall only read it."""
    half, odd = divmod(len(state), 2)
    if odd:
        raise LayerError(f"a coupling needs an even number of channel groups, got {len(state)}")
    if isinstance(state, Owned):
        return Owned(state[:half]), Owned(state[half:])
    return state[:half], state[half:]


def _named(name: str, call: Callable[[], State]) -> State:
    """Return what `call` returns, and name the branch in the errors of its layers."""
    try:
        return call()
    except LayerError as error:
        raise error.inside(name) from None


def _add(name: str, branch: nn.Module, x: State, value: State) -> State:
    """Return x + value.

    Raises:
        LayerError: the branch changed the shape.
    """
    if len(x) != len(value) or any(a.shape != b.shape for a, b in zip(x, value, strict=True)):
        had, got = (", ".join(str(tuple(tensor.shape)) for tensor in state) for state in (x, value))
        problem = f"branch {type(branch).__name__} gives {got} where the other half of the state is {had}"
        raise LayerError(f"{problem}: the shapes must be equal", name)
    return added(x, value)


class SplitConvolution(AdditiveCoupling):
    """The channel-split invertible convolution of Hascoet et al.: y1 = x1 + F(x2), y2 = x2 + G(y1) on two groups.

    F and G are single bias-free 3x3 convolutions on half of the channels: 4.5 C^2 parameters.
    """

    kind: ClassVar[str] = "convolution"

    def __init__(self, channels: int) -> None:
        if channels % 2:
            raise ValueError(f"channels {channels} is not allowed: a split convolution needs an even number")
        half = channels // 2
        super().__init__(
            nn.Conv2d(half, half, 3, padding=1, bias=False), nn.Conv2d(half, half, 3, padding=1, bias=False)
        )
