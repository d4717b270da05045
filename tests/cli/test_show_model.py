"""`gradbench show model:NAME`: sizes, stages, and the sources' arithmetic beside what they print."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from click.testing import Result
from torch import nn

from gradbench.case.schema import Model
from gradbench.models import MODELS
from gradbench.models.published import PUBLISHED
from gradbench.registry import Entry

Call = Callable[..., Result]


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_shown_beside_its_source(call: Call, name: str) -> None:
    result = call("show", f"model:{name}")
    assert result.exit_code == 0, result.stderr
    rows = [line.split() for line in result.stdout.splitlines()]
    row = PUBLISHED[name]
    assert [line[-1] for line in rows if line[:2] == ["weights,", "MB"]] == [row.weights]
    (bytes_row,) = [line for line in rows if line[:4] == [f"{row.strategy},", "bytes", "a", "pixel"]]
    assert bytes_row[-1] == row.bytes_per_pixel
    assert bytes_row[-2] == ("1936" if name == "resnet" else row.bytes_per_pixel)
    assert all(f"- {sentence}" in result.stdout for sentence in row.differences)
    stages = [line for line in rows if line[:1] in (["0"], ["1"], ["2"], ["3"])]
    assert [line[2 if line[0] != "0" else 1] for line in stages] == row.channels.split("-") or name == "layerwise"


def test_settings_change_it(call: Call) -> None:
    sets = ("model.depth=20", "data.image_size=240", "data.batch_size=32", "model.pooling=['channel']")
    text = call("show", "model:hybrid", *(part for each in sets for part in ("--set", each))).stdout
    assert "depth 20, width 32" in text
    assert "120x120" in text
    assert "reconstruct, 32 images of 240x240 and the weights, MB" in text
    assert "The published network has other settings: `gradbench show model:hybrid`." in text
    assert not any(sentence in text for sentence in PUBLISHED["hybrid"].differences)


def test_the_totals_of_the_source(call: Call) -> None:
    """Equations 12c, 14c, 34c and 35c, for 32 images of 240x240; the last two leave the weights out."""
    for name, printed, weights in (
        ("revnet", 1192, 0), ("irevnet", 1351, 0), ("layerwise", 590, 29.6), ("hybrid", 648, 14.8),
    ):  # fmt: skip
        text = call("show", f"model:{name}", "--set", "data.image_size=240", "--set", "data.batch_size=32").stdout
        (line,) = [line for line in text.splitlines() if line.startswith("reconstruct, 32 images")]
        assert float(line.split()[-1].replace(",", "")) - weights == pytest.approx(printed, abs=1)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["model:hybrd"],
            "unknown model 'hybrd': allowed are resnet, revnet, irevnet, layerwise, hybrid; did you mean",
        ),
        (["model:hybrid", "--set", "model.dept=3"], "model.dept: unknown key"),
        (["model:hybrid", "--set", "seeds=3"], "seeds: cannot be changed here"),
        (["model:hybrid", "--set", "model.name=revnet"], "cannot be changed to revnet: show model:revnet"),
        (["model:hybrid", "--set", "data.image_size=30"], "must be a multiple of 8, for example 32"),
        (["model:hybrid", "--profile", "quick"], "model:hybrid is a model: --profile is for cases"),
    ],
)
def test_mistakes_are_said(call: Call, arguments: list[str], sentence: str) -> None:
    result = call("show", *arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr


class Foreign(nn.Linear):
    """A model of another package, of which nothing is known but its parameters."""

    @classmethod
    def from_settings(cls, settings: Model, classes: int, image_size: int) -> Foreign:
        return cls(settings.width, classes)


def test_a_foreign_model_shows_its_size(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS._entries, "foreign", Entry(f"{__name__}:Foreign", "linear", defaults={"width": 8}))
    monkeypatch.setattr(Entry, "load", lambda entry: Foreign)
    text = call("show", "model:foreign").stdout
    assert text.splitlines()[-1] == "90 parameters, 0.00 MB in float32"
    assert torch.get_default_device().type == "cpu"
