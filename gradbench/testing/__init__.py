"""For the tests of a project of your own: a method that spoils gradients fails, and the failure names the layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from gradbench.errors import UsageError, did_you_mean
from gradbench.results import VERDICTS

if TYPE_CHECKING:
    from torch import nn

    from gradbench.auditing import Audit
    from gradbench.measure.batch import Batch, Loss

__all__ = ["assert_gradient_fidelity"]

#: What may be asked for: `undefined` and `unresolved` are what a measurement may end in, not what one wants.
_WANTED = tuple(verdict for verdict in VERDICTS if verdict not in ("undefined", "unresolved", "broken"))


def assert_gradient_fidelity(
    model: nn.Module,
    batches: Iterable[Batch],
    strategy: str | Any,
    verdict: str = "below-noise",
    loss_fn: Loss | None = None,
    parameters: Literal["weights", "all"] = "weights",
    **options: Any,
) -> Audit:
    """Assert that every gradient judged under `strategy` has this verdict or a better one, and a step no fault.

    Args:
        model: any module, as it is trained; left as it was.
        batches: pairs (inputs, target), two or more; eight or more for verdicts near a limit.
        strategy: a name such as "approximate:4", or a strategy of your own.
        verdict: the worst that passes: exact, rounding, below-noise, comparable or harmful.
        loss_fn: `loss_fn(output, target)`; by default the mean cross-entropy.
        parameters: whose gradients are judged: those of "weights", or of "all", norms and biases too.
        options: of `gradbench.audit`. Time and memory are not measured unless `cost=True`.

    Returns:
        The audit, for further questions.

    Raises:
        AssertionError: the message names the worst layers with their numbers, and the faults.
        UsageError: something cannot be measured, as `gradbench.audit` says.
    """
    from torch.nn import functional as F

    from gradbench.auditing import audit

    if verdict not in _WANTED:
        near = did_you_mean(verdict, _WANTED)
        raise UsageError(f"verdict {verdict!r}: allowed are {', '.join(_WANTED)}{near}")
    settings = {"cost": False, "parameters": parameters, **options}
    found = audit(model, loss_fn or F.cross_entropy, batches, [strategy], **settings)
    (name,) = found.verdicts
    if message := _message(found, name, verdict):
        raise AssertionError(message)
    return found


def _message(found: Audit, name: str, wanted: str) -> str:
    """What is wrong, in lines; empty where nothing is."""
    got = found.verdicts[name]
    if got not in VERDICTS:
        return f"{name} was not measured ({got}): {found.reasons[name]}"
    rows = found.gradients[found.gradients["strategy"] == name]
    each = rows["verdict"].map(VERDICTS.index)
    got = VERDICTS[max(VERDICTS.index(got), *each)]
    lines = [f"{row['check']}: {row['says']}" for row in found.faults.to_dict("records")]
    if VERDICTS.index(got) > VERDICTS.index(wanted):
        count = int((each > VERDICTS.index(wanted)).sum())
        what = "weight tensors" if (rows["kind"] == "weight").all() else "parameters"
        lines.append(f"gradients: {count} of {len(each)} {what} are worse than {wanted}; the worst:")
        lines += [
            f"  {row['parameter']}: {row['verdict']}, noise ratio {row['noise_ratio']:.2g}, relative error "
            f"{row['rel_error']:.2g}, cosine {row['cosine']:.4g}"
            for row in found.worst_layers(5).to_dict("records")
        ]
    return "\n".join([f"{name} is {got}, wanted {wanted} or better", *lines]) if lines else ""
