"""An audit gives what the measurement gives, leaves the model alone, and takes what a user has."""

from __future__ import annotations

import dataclasses
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import gradbench
from gradbench.analysis.tables import read_run
from gradbench.auditing.untouched import untouched
from gradbench.errors import UsageError
from gradbench.measure.gradients import measure_gradients
from gradbench.results import CHECKS, TABLES
from gradbench.strategies import STRATEGIES
from gradbench.strategies.stored import Stored
from tests.auditing.methods import OWN, TURNED


def network() -> nn.Module:
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()),
        nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Dropout(0.2)),
        nn.Flatten(),
        nn.Linear(64, 5),
    )


def batches(count: int = 4) -> list[tuple[Tensor, Tensor]]:
    return [(torch.randn(6, 3, 8, 8), torch.randint(5, (6,))) for _ in range(count)]


def penalised(model: nn.Module) -> Any:
    return lambda output, target: F.cross_entropy(output, target) + sum(p.pow(2).sum() for p in model.parameters())


class Keeps(nn.Module):
    """A model that keeps a tensor of its forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.network, self.last = network(), None

    def forward(self, x: Tensor) -> Tensor:
        self.last = self.network(x)
        return self.last


@pytest.mark.parametrize(
    ("model", "loss", "why"),
    [
        (network(), penalised, "the loss reaches the model itself, not its output alone"),
        (network(), lambda _: nn.CrossEntropyLoss(weight=torch.rand(5)), "RuntimeError: expected scalar type Double"),
        (Keeps(), lambda _: F.cross_entropy, "RuntimeError: Only Tensors created explicitly by the user"),
    ],
)
def test_without_a_gradient_in_float64_no_verdict_is_rounding(model: nn.Module, loss: Any, why: str) -> None:
    found = gradbench.audit(model, loss(model), batches(8), ["approximate:4", "checkpoint"], cost=False)
    assert found.verdicts["checkpoint"] == "exact"
    assert found.verdicts["approximate:4"] not in ("exact", "rounding")
    assert found.gradients["rel_error_truth"].isna().all()
    (note,) = found.notes["stored"]
    assert note.startswith(f"no gradient in float64, and no verdict rounding: {why}")
    assert note in str(found)


def test_a_shuffled_loader_leaves_the_random_stream_as_it_was() -> None:
    data = TensorDataset(torch.randn(48, 3, 8, 8), torch.randint(5, (48,)))
    model, loader = network(), DataLoader(data, 6, shuffle=True)
    before = torch.get_rng_state()
    gradbench.audit(model, F.cross_entropy, loader, ["checkpoint"], cost=False)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("parameters", "right"), [("weights", True), ("all", False)])
def test_an_audit_is_ok_where_every_gradient_that_it_measured_is(parameters: str, right: bool) -> None:
    found = gradbench.audit(network(), F.cross_entropy, batches(8), [TURNED], cost=False, parameters=parameters)
    assert found.verdicts == {"turned": "exact"}
    assert (found.ok, found.failed) == (right, not right)
    told = "turned: the gradient of 0.1.weight is harmful; the verdict is that of weight tensors"
    assert (told in str(found)) == (not right)


def test_a_strategy_that_finds_nothing_to_treat_is_excluded_and_not_called_exact() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5))
    given = [(torch.randn(8, 6), torch.randint(5, (8,))) for _ in range(3)]
    found = gradbench.audit(model, F.cross_entropy, given, ["approximate:4", "saved-cast:fp8"], cost=False)
    assert found.verdicts["approximate:4"] == "excluded"
    assert found.verdicts["saved-cast:fp8"] != "excluded"


def test_it_measures_what_the_measurement_of_a_case_does() -> None:
    model, given = network(), batches()
    found = gradbench.audit(model, F.cross_entropy, given, ["approximate:4", OWN], cost=False)
    strategies = [STRATEGIES.create("approximate:4")]
    direct = measure_gradients(model, Stored(), strategies, given, 2)["approximate:4"].gradients
    errors = {one.parameter: one.rel_error for one in direct}
    rows = found.gradients[found.gradients["strategy"] == "approximate:4"]
    assert list(rows["parameter"]) == [name for name, p in model.named_parameters() if p.dim() > 1]
    assert [errors[name] for name in rows["parameter"]] == list(rows["rel_error"])
    # Three times a gradient errs by twice that gradient.
    own = found.gradients[(found.gradients["strategy"] == "own") & (found.gradients["parameter"] == "0.0.weight")]
    assert own["rel_error"].item() == pytest.approx(2)
    assert found.worst_layers(1, "own")["parameter"].item() == "0.0.weight"
    assert found.worst_layers(1)["strategy"].item() == "own"
    assert not found.ok
    with pytest.raises(UsageError, match="strategy 'onw' was not audited: .*did you mean 'own'"):
        found.worst_layers(strategy="onw")


def test_its_tables_have_the_columns_of_a_run_and_its_folder_is_one(tmp_path: Path) -> None:
    found = gradbench.audit(network(), F.cross_entropy, batches(), ["checkpoint", "reconstruct"], cost_repeats=1)
    assert found.verdicts == {"checkpoint": "exact", "reconstruct": "excluded"}
    assert found.reasons == {"reconstruct": "Sequential has no invertible chain, so nothing can be rebuilt"}
    assert found.ok
    page = found.save(tmp_path / "run")
    run = read_run(tmp_path / "run")
    for name in ("cells", "gradients", "activations", "state"):
        frame = getattr(found, name)
        assert list(frame.columns) == [column.name for column in TABLES[name].columns]
        written = run.tables[name].drop(columns=["cell", "seed"])
        assert dict(written.dtypes) == dict(frame.dtypes)
        assert len(written) == len(frame)
    assert list(found.state["check"]) == list(CHECKS) * 2
    assert "Audit of Sequential" in page.read_text()
    alone = found.report(tmp_path / "x.html")
    assert alone.read_text().count("What one step leaves behind") == 2
    assert [path.name for path in tmp_path.iterdir()].count("x.html") == 1
    for text in (repr(found), found._repr_html_()):
        assert "checkpoint" in text
        assert "no invertible chain" in text


def test_noise_ratio_and_error_of_the_summary_are_the_worst_layers() -> None:
    found = gradbench.audit(network(), F.cross_entropy, batches(), [OWN], cost=False)
    (row,) = found.summary.to_dict("records")
    assert row["worst layer"] == "0.0.weight"
    assert row["error"] == pytest.approx(2, rel=1e-6)  # of the others it is 0
    worst = found.worst_layers(1).iloc[0]
    assert (row["error"], row["noise ratio"]) == (worst["rel_error"], worst["noise_ratio"])


def test_a_strategy_that_raises_is_a_row_that_says_so() -> None:
    class Fails:
        name = "fails"

        @contextmanager
        def applied_to(self, model: nn.Module) -> Iterator[None]:
            raise ValueError("planted")
            yield

    found = gradbench.audit(network(), F.cross_entropy, batches(), [Fails(), "checkpoint"], cost=False)
    assert found.verdicts == {"fails": "error", "checkpoint": "exact"}
    assert "planted" in found.reasons["fails"]
    assert found.failed


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_and_all_random_streams_are_as_before(fails: bool) -> None:
    class Rude:
        """Leaves whatever it can behind."""

        name = "rude"

        @contextmanager
        def applied_to(self, model: nn.Module) -> Iterator[None]:
            model.register_forward_hook(lambda module, inputs, output: None)
            model.eval()
            model.left = [1]
            model[0][1].running_mean = torch.ones(4)
            with torch.no_grad():
                model[3].weight.add_(1)
            random.random()
            np.random.rand()  # noqa: NPY002
            yield

    model, given = network(), batches(2)
    model[1].eval()
    model.seen = [7]
    F.cross_entropy(model(given[0][0]), given[0][1]).backward()
    torch.rand(1), random.random(), np.random.rand()  # noqa: NPY002
    state = {name: value.clone() for name, value in model.state_dict().items()}
    identities = {name: id(value) for name, value in [*model.named_parameters(), *model.named_buffers()]}
    gradients = {name: (id(p.grad), p.grad.clone()) for name, p in model.named_parameters()}
    training = [module.training for module in model.modules()]
    streams = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002

    def loss(output: Tensor, target: Tensor) -> Tensor:
        if fails and not model[0].training:
            raise KeyboardInterrupt
        return F.cross_entropy(output, target)

    if fails:
        with pytest.raises(KeyboardInterrupt):
            gradbench.audit(model, loss, given, [Rude()])
    else:
        gradbench.audit(model, loss, given, [Rude(), "checkpoint"], cost_repeats=1)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert identities == {name: id(value) for name, value in [*model.named_parameters(), *model.named_buffers()]}
    for name, parameter in model.named_parameters():
        assert id(parameter.grad) == gradients[name][0]
        assert torch.equal(parameter.grad, gradients[name][1])
    assert training == [module.training for module in model.modules()]
    assert not model._forward_hooks
    assert not hasattr(model, "left")
    assert model.seen == [7]
    assert torch.equal(torch.get_rng_state(), streams[0])
    assert random.getstate() == streams[1]
    assert np.random.get_state()[1].tolist() == streams[2]  # noqa: NPY002


def test_a_list_that_a_module_keeps_has_its_entries_back() -> None:
    model = network()
    model.kept = kept = [1, 2]
    with untouched(model):
        kept.append(3)
        model.kept = None
    assert model.kept is kept
    assert kept == [1, 2]


@dataclasses.dataclass
class Answer:
    """An output that pytree does not know."""

    scores: Tensor
    more: dict[str, Tensor]


class Nested(nn.Module):
    """Takes two tensors and a dict of lists, and returns a record."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(6, 8), nn.ReLU())
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor, shift: Tensor, more: dict[str, list[Tensor]] | None = None) -> Answer:
        y = self.layer(x + shift)
        y = y + more["parts"][0] if more else y
        return Answer(self.head(y), {"hidden": y})


def nested_loss(output: Answer, target: dict[str, Tensor]) -> Tensor:
    return F.mse_loss(output.scores, target["scores"]) + output.more["hidden"].square().mean()


@pytest.mark.parametrize("kind", ["tuple", "list", "dict"])
def test_inputs_and_outputs_may_be_nested(kind: str) -> None:
    def inputs() -> Any:
        x, shift, more = torch.randn(5, 6), torch.randn(6), {"parts": [torch.randn(5, 8)]}
        return {"tuple": (x, shift, more), "list": [x, shift, more], "dict": {"x": x, "shift": shift, "more": more}}[
            kind
        ]

    given = [(inputs(), {"scores": torch.randn(5, 3)}) for _ in range(4)]
    found = gradbench.audit(Nested(), nested_loss, given, ["checkpoint", "saved-cast:bf16"], cost_repeats=1)
    assert found.verdicts["checkpoint"] == "exact"
    assert found.verdicts["saved-cast:bf16"] in ("below-noise", "rounding", "exact", "unresolved")
    assert found.cells["bytes_per_pixel"].isna().all()
    assert set(found.cells["parameter_count"]) == {6 * 8 + 8 + 8 * 3 + 3}
    assert set(found.cells["weight_bytes"]) == {4 * (6 * 8 + 8 + 8 * 3 + 3)}
    assert (found.cells["peak_bytes"] > 0).all()
    assert found.faults.empty


def test_a_data_loader_is_taken_from_and_not_emptied() -> None:
    dataset = torch.utils.data.TensorDataset(torch.randn(400, 3, 8, 8), torch.randint(5, (400,)))
    loader = torch.utils.data.DataLoader(dataset, batch_size=4)
    assert len(gradbench.audit(network(), F.cross_entropy, loader, "checkpoint", cost=False).subject.batches) == 16
    taken = gradbench.audit(network(), F.cross_entropy, loader, "checkpoint", cost=False, minibatches=3)
    assert len(taken.subject.batches) == 3


def test_under_autocast_it_measures_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        found = gradbench.audit(network(), F.cross_entropy, batches(), ["checkpoint"], cost=False)
    assert found.verdicts["checkpoint"] == "exact"
    stored = found.gradients[found.gradients["strategy"] == "stored"]
    assert (stored["rel_error_truth"] > 1e-4).all()  # of bfloat16, held against float64


def test_gradients_that_are_zero_are_told() -> None:
    model = network()
    nn.init.zeros_(model[3].weight)
    found = gradbench.audit(model, F.cross_entropy, batches(), ["checkpoint"], cost=False)
    assert found.remarks == ["the stored gradient of 2 of 3 weight tensors is zero: of them nothing can be said"]


def test_it_explains() -> None:
    found = gradbench.audit(network(), F.cross_entropy, batches(), ["checkpoint", "naive-quantize:2"], cost=False)
    assert found.explain().strategy == "naive-quantize:2"
    assert found.explain("checkpoint").guilty == ""


def test_importing_gradbench_imports_no_torch() -> None:
    code = "import gradbench, sys; assert 'torch' not in sys.modules; gradbench.audit; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
    with pytest.raises(AttributeError, match="has no attribute 'adit'"):
        gradbench.adit  # noqa: B018
