"""Settings that are each allowed and cannot stand together, or that have no effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gradbench.case.keys import setting_of
from gradbench.case.layers import MATRIX, Layer, matrix_of, stack
from gradbench.case.mistakes import Mistake, listed
from gradbench.case.plan import Conditions, resolved, values_of
from gradbench.data import DATASETS

__all__ = ["check_settings"]


def check_settings(layers: Sequence[Layer], conditions: Conditions) -> Iterator[Mistake]:
    """Check what the layers give together: contradictions, and settings that the matrix decides anyway."""
    faulty = frozenset[str]().union(
        *(layer.faulty for layer in (*layers, *(layer for _, layer in conditions.overrides)))
    )
    yield from _decided_twice(layers, conditions)
    cells = list(resolved(layers, conditions))
    if not cells:
        base = next((layer.base for layer in reversed(layers) if matrix_of(stack([layer]))), ())
        yield Mistake((*base, "matrix"), "every point is excluded, so that nothing is left to run")
    for _, _, given in cells:
        for keys, text in _contradictions(values_of(given)):
            blamed = [given[key] for key in keys if key in given]
            if blamed and not faulty.intersection(keys):
                yield Mistake(max(blamed, key=lambda one: one.rank).place, text)


def _contradictions(value: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the keys that contradict each other, and how."""
    steps, at = value["train.steps"], value["measure.at"]
    if late := [step for step in at if step > steps]:
        yield ("measure.at", "train.steps"), f"measure.at has {listed(late)}, beyond train.steps = {steps}"
    reference = value["measure.reference"]
    if reference != "stored" and value["measure.activations"]:
        keys = ("measure.reference", "measure.activations")
        yield (
            keys,
            f"measure.activations compares with stored activations: with reference {reference!r} it must be false",
        )
    size, crop, halvings = value["data.image_size"], value["data.crop"], len(value["model.pooling"])
    if crop >= size:
        yield ("data.crop", "data.image_size"), f"data.crop = {crop} must be below data.image_size = {size}"
    if (cutout := value["data.cutout"]) > size:
        yield ("data.cutout", "data.image_size"), f"data.cutout = {cutout} must be at most data.image_size = {size}"
    if size % 2**halvings:
        yield (
            ("data.image_size", "model.pooling"),
            f"data.image_size = {size} cannot be halved {halvings} times, once for each entry of model.pooling: "
            f"allowed are multiples of {2**halvings}",
        )
    for key, has in DATASETS[value["data.name"]].defaults.items():
        if value[f"data.{key}"] != has:
            keys = (f"data.{key}", "data.name")
            yield keys, f"data.{key} = {value[f'data.{key}']}, but data set {value['data.name']!r} has {has}"
    if value["data.name"] == "npz" and not value["data.path"]:
        yield ("data.name", "data.path"), 'data.name = "npz" needs data.path, the file to read'


def _decided_twice(layers: Sequence[Layer], conditions: Conditions) -> Iterator[Mistake]:
    """Settings that have no effect since an axis of the matrix, known where they are given, decides them."""
    axes: dict[str, str] = {}
    for layer in layers:
        given = stack([layer])
        for axis in matrix_of(given):
            known = axes.setdefault(setting_of(axis), axis)
            if known != axis:
                yield Mistake(given[f"{MATRIX}{axis}"].place, f"is the same setting as the axis {known!r}")
        for key, axis in axes.items():
            if key in given:
                yield Mistake(given[key].place, f"has no effect, the matrix decides it: change matrix.{axis} instead")
    for _, layer in conditions.overrides:
        given = stack([layer])
        for key, axis in axes.items():
            if key in given:
                yield Mistake(given[key].place, f"{axis!r} is an axis of the matrix: an override cannot change it")
