"""Every shipped case runs: its quick profile is expanded, its networks built, its first cell run as short as it can be.

Settings that decide only how much is measured are as small as is allowed; all else is the profile's own.
"""

from __future__ import annotations

import pytest
import torch

from gradbench.case.expand import expand
from gradbench.case.find import shipped
from gradbench.case.keys import setting_of
from gradbench.case.load import load
from gradbench.data import DATASETS
from gradbench.measure.cell import run_cell
from gradbench.models.build import build
from tests.open_gate import GATE

CASES = shipped()
SHORTEST = (
    "data.batch_size=8",
    "train.steps=1",
    "train.evaluate_every=1",
    "train.evaluate_images=20",
    "measure.at=[0]",
    "measure.sgd_batches=2",
    "measure.truth_batches=1",
    "measure.cost=false",
    "measure.state=false",
)

with_cases = pytest.mark.parametrize("name", CASES)


@with_cases
def test_every_network_of_the_quick_profile_can_be_built(name: str) -> None:
    cells = expand(load(CASES[name], "quick"), name)
    assert len({cell.id for cell in cells}) == len(cells) > 0
    for settings in {cell.settings.model.model_dump_json(): cell.settings for cell in cells}.values():
        assert settings.data.name == "digits", "a quick profile needs no download"
        data = DATASETS[settings.data.name].load()(settings.data, torch.device("cpu"), 0)
        model = build(settings.model, data.classes, settings.data.image_size).eval()
        assert model(data.x_test[:2] / 255).shape == (2, data.classes)


@with_cases
def test_the_first_cell_of_the_quick_profile_runs(name: str) -> None:
    axes = {setting_of(axis) for axis in load(CASES[name], "quick").matrix}
    case = load(CASES[name], "quick", [one for one in SHORTEST if one.partition("=")[0] not in axes])
    tables = run_cell(expand(case, name)[0], None, "cpu", GATE, say=lambda text: None)
    statuses = {row["strategy"]: (row["status"], row["reason"]) for row in tables["cells"]}
    assert {status for status, _ in statuses.values()} <= {"ok", "excluded"}, statuses
    assert statuses["stored"] == ("ok", "")
    measured = {row["strategy"] for row in tables["gradients"]}
    assert measured == {strategy for strategy, (status, _) in statuses.items() if status == "ok"}
