"""Figures for a paper: every panel a file, light, with its key, and readable without the page."""

from __future__ import annotations

import re
import struct
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from gradbench.analysis.tables import read_run
from gradbench.errors import UsageError
from gradbench.report import export
from gradbench.report.export import formats_in, write_figures
from gradbench.report.figure import Figure


@pytest.fixture
def two_figures(shown: dict[str, Figure], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "figures", lambda run, scene: [shown["errors"], shown["layers"]])


@pytest.mark.usefixtures("two_figures")
def test_every_panel_of_every_measure_is_a_file_with_its_key(folder: Path, tmp_path: Path) -> None:
    written = write_figures(read_run(folder), tmp_path / "new" / "figures", ["svg"])
    measures = ("worst-noise-ratio", "noise-ratio", "rel-error")
    names = [f"errors-{measure}-{group}.svg" for measure in measures for group in ("layerwise", "hybrid")]
    assert [path.name for path in written] == [*names, "layers-layerwise.svg", "layers-hybrid.svg"]
    assert {path.name for path in written} == {path.name for path in (tmp_path / "new" / "figures").iterdir()}
    for path in written:
        svg = path.read_text(encoding="utf-8")
        assert "var(" not in svg
        assert f">{path.stem.rpartition('-')[2]}<" in svg
        assert 'fill="#ffffff"' in svg
    errors, layers = (written[place].read_text(encoding="utf-8") for place in (0, -1))
    assert ">naive-quantize:4<" in errors
    assert ">negative slope 0.2<" in errors
    assert ">below 10, harmful<" in layers
    assert not re.search("[⁻⁰⁴-⁹]", re.sub('aria-label="[^"]*"', "", errors))
    assert re.search(">1e-?[0-9]+<", errors)


@pytest.mark.usefixtures("two_figures")
def test_png_has_300_dots_an_inch_and_pdf_is_pdf(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: dict[str, Figure]
) -> None:
    monkeypatch.setattr(export, "figures", lambda run, scene: [shown["layers"]])
    written = write_figures(read_run(folder), tmp_path, ["png", "pdf"])
    assert [path.suffix for path in written] == [".png", ".pdf"] * 2
    png, pdf = written[0].read_bytes(), written[1].read_bytes()
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">I", png[16:20])[0] > 320 * 300 / 72
    place = png.index(b"pHYs") + 4
    dots, _, unit = struct.unpack(">IIB", png[place : place + 9])
    assert (round(dots * 0.0254), unit) == (300, 1)
    assert pdf.startswith(b"%PDF-")


def test_a_name_cannot_leave_the_folder_nor_hide_another(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: dict[str, Figure]
) -> None:
    figure = shown["layers"]
    frame = pd.concat([figure.data["layers"].assign(g=name) for name in ("../Up", "up")])
    other = Figure("layers", "?", "", figure.charts, ("../Up", "up"), figure.controls, figure.keys, {"layers": frame})
    monkeypatch.setattr(export, "figures", lambda run, scene: [other])
    written = write_figures(read_run(folder), tmp_path, ["svg"])
    assert [path.name for path in written] == ["layers-up.svg", "layers-up-2.svg"]


def test_a_panel_without_anything_at_the_first_choices_is_no_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: dict[str, Figure]
) -> None:
    figure = shown["errors"]
    (slope,) = [control for control in figure.controls if control.label == "negative slope"]
    kept = {
        name: frame[(frame["g"] != "hybrid") | (frame[slope.name] != slope.value)]
        for name, frame in figure.data.items()
    }
    assert all("hybrid" in set(frame["g"]) for frame in kept.values())
    monkeypatch.setattr(export, "figures", lambda run, scene: [replace(figure, data=kept)])
    written = write_figures(read_run(folder), tmp_path, ["svg"])
    assert written
    assert not [path.name for path in written if "hybrid" in path.name]


def test_a_panel_with_crosses_alone_is_a_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: dict[str, Figure]
) -> None:
    figure = shown["accuracy"]
    crossed = {"data": {"values": [{"g": "hybrid"}]}, "mark": "point"}
    charts = [replace(chart, spec={**chart.spec, "layer": [*chart.spec["layer"], crossed]}) for chart in figure.charts]
    kept = {name: frame[frame["g"] != "hybrid"] for name, frame in figure.data.items()}
    monkeypatch.setattr(export, "figures", lambda run, scene: [replace(figure, charts=tuple(charts), data=kept)])
    written = write_figures(read_run(folder), tmp_path, ["svg"])
    assert [path.name for path in written] == ["accuracy-layerwise.svg", "accuracy-hybrid.svg"]


def test_a_key_names_the_strategies_of_its_panel_alone(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: dict[str, Figure]
) -> None:
    figure = shown["training"]
    kept = {
        name: frame[(frame["g"] != "hybrid") | (frame["s"] == "stored")] if "s" in frame else frame
        for name, frame in figure.data.items()
    }
    monkeypatch.setattr(export, "figures", lambda run, scene: [replace(figure, data=kept)])
    layerwise, hybrid = (
        path.read_text(encoding="utf-8") for path in write_figures(read_run(folder), tmp_path, ["svg"])
    )
    assert (">approximate:4<" in layerwise, ">approximate:4<" in hybrid) == (True, False)
    assert ">stored<" in layerwise
    assert ">stored<" in hybrid


def test_formats() -> None:
    assert formats_in("pdf, SVG,pdf") == ["pdf", "svg"]
    with pytest.raises(UsageError, match="--figures jpg: allowed are svg, png, pdf, with commas between"):
        formats_in("svg,jpg")
    with pytest.raises(UsageError, match="did you mean 'png'"):
        formats_in("pngg")
