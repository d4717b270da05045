"""Write a run's folder with invented numbers of a realistic shape, so that reports can be tested without torch.

The layer-wise network loses a fixed number of decibels with every layer, the hybrid none; the relative error of a
weight gradient is the SNR to the power -1/4. Some cells failed, some numbers are infinite or absent, and the names of
layers and the case hold what an attacker or a careless author might write.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gradbench.results import SCHEMA, TABLES

AXES = ("model", "depth", "negative_slope")
INJECTION = "<script>window.injected = 1</script><img src=x onerror='window.injected = 1'>"
CASE = f"""schema = 1
title = "Gradient fidelity against depth: layer-wise and hybrid"
question = "Does the hybrid reversible network keep the right weight gradients as it grows deeper?"
source = "Invented numbers </script> & {INJECTION}"
tags = ["nightly"]
seeds = 8

[matrix]
model = ["layerwise", "hybrid"]
depth = [3, 4, 5, 7, 10, 14, 20, 28]
negative_slope = [0.05, 0.1, 0.2, 0.4]
"""
STRATEGIES = ("stored", "reconstruct", "checkpoint", "approximate:4", "naive-quantize:4")


#: A curve of the layer-wise network that goes on beyond its depths, one along its layers, and a level of memory.
REFERENCES = [
    {
        "name": "curve",
        "label": f"Figure 11 {INJECTION}",
        "source": f"read off {INJECTION}",
        "value": {
            "table": "activations",
            "column": "snr_db",
            "within": "min",
            "where": {"model": "layerwise", "negative_slope": 0.2, "step": 0},
        },
        "along": "depth",
        "points": [[3, 80.0], [5, 60.0], [30, -5.0]],
    },
    {
        "name": "profile",
        "label": "Figure 10",
        "source": "read off",
        "value": {
            "table": "activations",
            "column": "snr_db",
            "where": {"model": "layerwise", "depth": 5, "negative_slope": 0.2, "step": 0},
        },
        "along": "position",
        "points": [[0, 20.0], [2, 35.125], [99, 90.0]],
    },
    {
        "name": "level",
        "label": "Table 1",
        "source": "printed",
        "value": {
            "table": "cells",
            "column": "bytes_per_pixel",
            "where": {"model": "hybrid", "strategy": "reconstruct"},
        },
        "level": 352.0,
    },
]

DIFFERENCES = [
    {"about": "the width", "theirs": f"32 channels {INJECTION}", "ours": "16", "why": "Time. Nothing else changes."},
    {"about": "the batch", "theirs": "256 images", "ours": "64"},
]


def write_run(
    folder: Path,
    depths: Sequence[int] = (3, 5, 28),
    slopes: Sequence[float] = (0.1, 0.2),
    seeds: int = 3,
    steps: Sequence[int] = (0, 200),
    train: bool = True,
    compress: bool = False,
) -> Path:
    """Write a synthetic run into `folder` and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    for model, depth, slope, seed in itertools.product(("layerwise", "hybrid"), depths, slopes, range(seeds)):
        point = {"model": model, "depth": depth, "negative_slope": slope}
        cell = hashlib.sha256(f"{point}{seed}".encode()).hexdigest()[:12]
        lead = {"cell": cell, **point, "seed": seed}
        for name, new in _cell(rng, model, depth, slope, seed, steps, train).items():
            rows[name] += [{**lead, **row} for row in new]
    rows["claims"] = list(_claims())
    for name, table in TABLES.items():
        header = [column.name for column in table.columns]
        if name != "claims":
            header = ["cell", *AXES, "seed", *header]
        _write(folder / f"{table.file}{'.gz' if compress and name == 'gradients' else ''}", header, rows[name])
    (folder / "manifest.json").write_text(json.dumps(_manifest(rows["cells"], depths, slopes, seeds)), encoding="utf-8")
    return folder


def _write(path: Path, header: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header, restval="")
        writer.writeheader()
        writer.writerows({key: "" if value is None else value for key, value in row.items()} for row in rows)


def _snr_db(model: str, depth: int, slope: float, step: int, rng: np.random.Generator) -> float:
    """The smallest SNR of a rebuilt activation."""
    per_layer = -10 * math.log10(4 * slope**2 / (1 + slope**2) ** 2) + 2.9
    if model == "hybrid":
        return 108 - 1.5 * per_layer + rng.normal() - 8 * (step > 0)
    return max(118 - per_layer * depth - 6 * (step > 0) + 2 * rng.normal(), -10 + rng.normal())


def _verdict(noise: float) -> str:
    if not math.isfinite(noise):
        return "broken"
    limits = ((0, "exact"), (1e-9, "rounding"), (0.09, "below-noise"), (0.11, "unresolved"), (1, "comparable"))
    return next((verdict for limit, verdict in limits if noise <= limit), "harmful")


def _cell(
    rng: np.random.Generator, model: str, depth: int, slope: float, seed: int, steps: Sequence[int], train: bool
) -> dict[str, list[dict[str, Any]]]:
    strategies = STRATEGIES if slope == 0.2 else STRATEGIES[:2]
    out: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    reached = 0.35 + 0.1 * math.log10(depth) + 0.01 * rng.normal()
    for strategy in strategies:
        if model == "layerwise" and depth == 28 and strategy == "naive-quantize:4" and seed % 2:
            out["cells"].append({"strategy": strategy, "status": "oom", "reason": "out of memory: 2.1 GiB wanted"})
            continue
        if model == "layerwise" and strategy == "approximate:4" and depth == 5 and seed == 0:
            reason = f"user module {INJECTION} cannot be quantised"
            out["cells"].append({"strategy": strategy, "status": "excluded", "reason": reason})
            continue
        noises, errors, snrs = [], [], []
        for step in steps:
            lowest = _snr_db(model, depth, slope, step, rng)
            if strategy == "reconstruct":
                out["activations"] += list(_activations(rng, model, depth, strategy, step, lowest))
                snrs.append(lowest)
            if strategy == "stored":
                continue
            for row in _gradients(rng, model, depth, slope, strategy, step, lowest):
                out["gradients"].append(row)
                noises.append(row["noise_ratio"])
                errors.append(row["rel_error"])
        worst = max(noises, key=lambda value: math.inf if math.isnan(value) else value, default=0.0)
        harm = float(np.nanmedian(noises)) if noises else 0.0
        accuracy = (
            max(0.1, reached - 0.12 * max(0.0, math.log10(worst + 1e-9) + 0.5)) if slope == 0.2 and train else None
        )
        out["cells"].append(
            _cost(rng, strategy, model, depth)
            | {
                "strategy": strategy,
                "status": "ok",
                "reason": "",
                "verdict": "exact" if strategy == "stored" else _verdict(worst),
                "worst_parameter": "" if strategy == "stored" else f"blocks.{depth - 1}.f.conv.weight",
                "worst_step": None if strategy == "stored" else steps[-1],
                "rel_error": float(np.median(errors)) if errors else 0.0,
                "noise_ratio": harm,
                "worst_noise_ratio": worst,
                "min_snr_db": min(snrs) if snrs else None,
                "accuracy": accuracy,
                "loss": None if accuracy is None else 2.3 - 2 * accuracy,
            }
        )
        if accuracy is not None:
            for step in range(25, 201, 25):
                now = 0.1 + (accuracy - 0.1) * (1 - math.exp(-step / 60)) + 0.01 * rng.normal()
                out["training"].append(
                    {
                        "strategy": strategy,
                        "step": step,
                        "train_loss": 2.3 - 2 * now,
                        "loss": 2.3 - 2 * now,
                        "accuracy": now,
                    }
                )
    return out


def _cost(rng: np.random.Generator, strategy: str, model: str, depth: int) -> dict[str, float]:
    time = {"stored": 1, "reconstruct": 1.35, "checkpoint": 1.3, "approximate:4": 1.5, "naive-quantize:4": 1.2}[
        strategy
    ]
    flat, slope = {
        "stored": (200, 90),
        "reconstruct": (330 if model == "layerwise" else 420, 0),
        "checkpoint": (300, 17),
        "approximate:4": (260, 14),
        "naive-quantize:4": (260, 14),
    }[strategy]
    pixels = flat + slope * depth
    seconds = 0.004 * depth * time * (1 + 0.03 * rng.normal())
    return {
        "step_seconds": seconds,
        "time_ratio": time * (1 + 0.03 * rng.normal()),
        "peak_bytes": pixels * 128 * 1024,
        "saved_bytes": 0.6 * pixels * 128 * 1024,
        "left_bytes": 0,
        "bytes_per_pixel": pixels,
        **({"counted_bytes_per_pixel": 0.9 * pixels} if strategy in ("stored", "reconstruct") else {}),
        "wall_seconds": 60 + depth,
        "missing_gradients": 0,
        "changed_buffers": 0,
        "repeat_error": 0.0,
    }


def _layers(model: str, depth: int) -> list[tuple[str, str, int]]:
    """Name, kind and block of every layer of the chain, from the image on."""
    layers = [("stem.norm", "norm", -1), ("stem.activation", "activation", -1)]
    for block in range(depth - (model == "layerwise")):
        branches = ("f", "g") if model == "hybrid" else ("",)
        for branch in branches:
            prefix = f"blocks.{block}.{branch}." if branch else f"layers.{block}."
            layers += [(f"{prefix}{kind}", kind, block) for kind in ("convolution", "norm", "activation")]
    name, kind, block = layers[3]
    layers[3] = (f"{name}{INJECTION}", kind, block)
    return layers


def _activations(
    rng: np.random.Generator, model: str, depth: int, strategy: str, step: int, lowest: float
) -> Iterable[dict[str, Any]]:
    layers = _layers(model, depth)
    for position, (name, kind, block) in enumerate(layers):
        place = position / (len(layers) - 1)
        rise = (118 - lowest) * place if model == "layerwise" else 4 * (position % 3)
        decibels = lowest + rise + (0 if position == 0 else abs(rng.normal()))
        if position == len(layers) - 1:
            decibels = math.inf
        yield {
            "strategy": strategy,
            "step": step,
            "layer": name,
            "position": position,
            "kind": kind,
            "block": block,
            "snr": 10 ** (decibels / 10),
            "snr_db": decibels,
            "alpha": None if decibels == math.inf else 10 ** (-0.8 if kind == "activation" else -0.1),
            "alpha_theory": None if kind == "coupling" else 10 ** (-0.8 if kind == "activation" else 0),
            "flipped_gates": min(0.5, 0.3 * 10 ** (-decibels / 20)) if kind == "activation" else None,
        }


def _gradients(
    rng: np.random.Generator, model: str, depth: int, slope: float, strategy: str, step: int, lowest: float
) -> Iterable[dict[str, Any]]:
    layers = [
        (name, position) for position, (name, kind, _) in enumerate(_layers(model, depth)) if kind != "activation"
    ]
    fixed = {"reconstruct": None, "checkpoint": 0.0, "approximate:4": 0.03, "naive-quantize:4": 0.5}[strategy]
    for name, position in layers:
        norm = name.endswith("norm")
        here = lowest + (118 - lowest) * position / len(layers) * (model == "layerwise")
        error = (1 - slope) * 10 ** (-here / 40) * math.exp(0.3 * rng.normal()) if fixed is None else fixed
        if model == "layerwise" and depth >= 28 and slope <= 0.1 and position == 1:
            error = math.nan
        variance = 0.5 if step == 0 else 5.0
        noise = error**2 / variance
        yield {
            "strategy": strategy,
            "step": step,
            "parameter": f"{name}.{'gamma' if norm else 'weight'}",
            "layer": position,
            "kind": "norm" if norm else "weight",
            "verdict": _verdict(noise),
            "grad_norm": 1.0,
            "rel_error": error,
            "snr_db": math.inf if error == 0 else -20 * math.log10(error),
            "cosine": 1 - error**2 / 2 if error < 1 else 0.1,
            "norm_ratio": 1.0,
            "sign_agreement": 0.99,
            "rel_error_truth": error + 1e-7,
            "excess": 1 + error / 1e-7,
            "sgd_variance": variance,
            "noise_ratio": noise,
            "noise_low": noise * 0.8,
            "noise_high": noise * 1.2,
            "bias_ratio": noise,
        }


def _claims() -> Iterable[dict[str, Any]]:
    common = {"source": "Figure 11 (left)", "seeds": 8, "reason": ""}
    yield common | {
        "claim": "layerwise-snr-falls",
        "says": "At slope 0.2 the layer-wise network loses at least 8 dB of SNR with every layer",
        "status": "held",
        "value": -11.23,
        "low": -11.6,
        "high": -10.9,
        "test": "<= -8",
    }
    yield common | {
        "claim": "hybrid-is-cleaner",
        "says": "At depth 20 the hybrid is at least 40 dB cleaner",
        "status": "held",
        "value": math.inf,
        "low": 98.0,
        "high": math.inf,
        "test": ">= 40",
        "source": "Figures 11 and 14 (left)",
    }
    yield common | {
        "claim": "quantise-trains",
        "says": f"Naive quantisation {INJECTION} trains as well",
        "status": "not held",
        "value": -0.1234567,
        "low": -0.2,
        "high": -0.05,
        "test": ">= -0.01",
        "source": "https://example.org/a?b=1&c=<2>",
    }
    yield common | {
        "claim": "costs-nothing",
        "says": "Reconstruction costs less than a point",
        "status": "undecided",
        "value": 0.004,
        "low": -0.01,
        "high": 0.02,
        "test": "< 0.01",
        "reason": "the interval over 8 seeds does not clear the number",
    }
    yield common | {
        "claim": "never-measured",
        "says": "Something at depth 99",
        "source": "gradbench",
        "status": "not measured",
        "value": math.nan,
        "low": math.nan,
        "high": math.nan,
        "test": "< 1",
        "seeds": 0,
        "reason": "no row of cells has depth = 99; there are 3, 4, 5, 7, 10, 14, 20, 28",
    }


def _manifest(
    cells: Sequence[Mapping[str, Any]], depths: Sequence[int], slopes: Sequence[float], seeds: int
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "case": "hybrid-depth-sweep",
        "profile": "full",
        "argv": ["gradbench", "run", "--case", "hybrid-depth-sweep", "--profile", "full"],
        "command": "gradbench run --case hybrid-depth-sweep --profile full",
        "case_text": CASE,
        "axes": {"model": ["layerwise", "hybrid"], "depth": list(depths), "negative_slope": list(slopes)},
        "seeds": list(range(seeds)),
        "settings": {
            "data": {"name": "cifar10", "batch_size": 128},
            "train": {"steps": 200},
            "reference": REFERENCES,
            "difference": DIFFERENCES,
        },
        "versions": {"gradbench": "0.1.0", "python": "3.11.9", "torch": "2.13.0", "torchvision": "0.28.0"},
        "device": {"name": "NVIDIA H100", "kind": "cuda", "memory": "80 GiB"},
        "flags": {"deterministic": True, "tf32": False},
        "cells": {status: sum(row["status"] == status for row in cells) for status in {row["status"] for row in cells}},
    }
