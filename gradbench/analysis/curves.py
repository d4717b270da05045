"""The series behind the charts: numbers of cells, layers and evaluations summarised over seeds.

Every frame has short columns, so that a page that carries it stays small: `g` the values of the axes of names, `x` the
axis to run along, `o0`, `o1`, ... the other numeric axes, `s` the strategy, then `y` (median over seeds), `lo` and `hi`
(the lowest and the highest seed) and `n` (seeds).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from gradbench.analysis import divergence
from gradbench.analysis.axes import Axes
from gradbench.analysis.statistics import median
from gradbench.results import VERDICTS

__all__ = [
    "against_axis",
    "by_tensor",
    "cost",
    "diverged",
    "layer_map",
    "local_gain",
    "lowest_snr",
    "over_steps",
    "place",
    "profile",
]


def place(frame: pd.DataFrame, axes: Axes) -> pd.DataFrame:
    """`frame` with the columns `g`, `x` (if there is an axis to run along), `o0`, ... and `s` added."""
    added: dict[str, Any] = {"s": frame["strategy"], "g": ""}
    for number, name in enumerate(axes.groups):
        words = frame[name].astype(str)
        added["g"] = added["g"] + " · " + words if number else words
    if axes.along:
        added["x"] = frame[axes.along]
    for number, name in enumerate(axes.others):
        added[f"o{number}"] = frame[name]
    return frame.assign(**added)


def _over_seeds(frame: pd.DataFrame, keys: Sequence[str], column: str) -> pd.DataFrame:
    """Median, lowest, highest and number of the seeds' values of `column` for each of `keys`; absent ones left out."""
    groups = frame.dropna(subset=[column]).groupby(list(keys), sort=False)[column]
    return groups.agg(y=median, lo="min", hi="max", n="size").reset_index()


def _keys(axes: Axes, *more: str) -> list[str]:
    along = ["x"] if axes.along else []
    return ["g", *along, *(f"o{number}" for number in range(len(axes.others))), *more]


def against_axis(cells: pd.DataFrame, axes: Axes, column: str) -> pd.DataFrame:
    """A column of `cells` against the axis, for each strategy: g, x, o*, s, y, lo, hi, n."""
    return _over_seeds(place(cells, axes), _keys(axes, "s"), column)


def diverged(cells: pd.DataFrame, axes: Axes) -> pd.DataFrame:
    """Where training diverged: g, x, o*, s, n (seeds in which it did) and `of` (seeds that were trained)."""
    trained = place(cells[cells["train_seconds"].notna()], axes)
    groups = trained.assign(lost=divergence.diverged(trained)).groupby(_keys(axes, "s"), sort=False)["lost"]
    found = groups.agg(n="sum", of="size").reset_index()
    return found[found["n"] > 0]


def lowest_snr(activations: pd.DataFrame, axes: Axes) -> pd.DataFrame:
    """The smallest SNR in dB of a rebuilt activation against the axis: g, x, o*, s, step, part, y, lo, hi, n.

    `part` is "blocks" (everything but the stem), "stem" or, where there are both, "all". A cell with an SNR of nan has
    no smallest one: its seed is left out.
    """
    frame = place(activations, axes)
    stem = frame["block"].astype("float64") < 0
    parts = [frame.assign(part=np.where(stem, "stem", "blocks"))]
    if stem.any() and not stem.all():
        parts.insert(0, frame.assign(part="all"))
    keys = _keys(axes, "s", "step", "part")
    groups = pd.concat(parts).groupby([*keys, "seed"], sort=False)["snr_db"]
    return _over_seeds(groups.agg(lambda snr: snr.min(skipna=False)).reset_index(), keys, "snr_db")


def profile(activations: pd.DataFrame, axes: Axes) -> pd.DataFrame:
    """Through the layers, medians over seeds: g, x, o*, s, step, p (position), kind, snr, gates, alpha, theory."""
    frame = place(activations, axes)
    groups = frame.groupby(_keys(axes, "s", "step", "position", "kind"), sort=False)
    columns = {
        "snr": ("snr_db", "median"),
        "gates": ("flipped_gates", "median"),
        "alpha": ("alpha", "median"),
        "theory": ("alpha_theory", "median"),
    }
    return groups.agg(**columns).reset_index().rename(columns={"position": "p"})


def local_gain(activations: pd.DataFrame, axes: Axes) -> pd.DataFrame:
    """Alpha of the median layer of each kind against the axis: g, x, o*, s, step, kind, y, lo, hi, n, theory."""
    keys = _keys(axes, "s", "step", "kind")
    layers = place(activations, axes).groupby([*keys, "seed"], sort=False)[["alpha", "alpha_theory"]].median()
    theory = layers.groupby(keys, sort=False)["alpha_theory"].median().rename("theory").reset_index()
    return _over_seeds(layers.reset_index(), keys, "alpha").merge(theory, on=keys)


def layer_map(gradients: pd.DataFrame, axes: Axes) -> pd.DataFrame:
    """The noise ratio of each weight tensor, at the reference of the other axes: g, x, s, step, r, name, y, broken.

    `r` numbers the weight tensors of a network from the image on; `y` is the median over seeds; `broken` the share of
    seeds whose gradient is not finite.
    """
    frame = _numbered(axes.at_reference(gradients), axes)
    frame["broken"] = (frame["verdict"] == "broken").astype("float64")
    groups = frame.groupby([*_keys(axes), "s", "step", "r", "parameter"], sort=False)
    ratios = groups.agg(y=("noise_ratio", "median"), broken=("broken", "mean")).reset_index()
    return ratios.rename(columns={"parameter": "name"})


def by_tensor(gradients: pd.DataFrame, axes: Axes) -> pd.DataFrame:
    """The relative error of each weight tensor: g, s, step, r, name, y, lo, hi, n, q, v, noise, floor.

    `r` and `name` as in `layer_map`; `q` is the noise ratio and `v` the verdict of the middle seed; `noise` that of SGD
    relative to the gradient, s / |g|, and `floor` |g - t| / |t|, the distance of stored training from float64, both in
    the rows of `stored`. A broken gradient's error is infinite.
    """
    frame = _numbered(gradients, axes)
    broken = frame["verdict"] == "broken"
    frame["rel_error"] = frame["rel_error"].mask(broken, np.inf)
    frame["noise"] = np.sqrt(frame["sgd_variance"]) / frame["grad_norm"]
    frame["rank"] = frame["verdict"].map(VERDICTS.index)
    keys = [*_keys(axes), "s", "step", "r", "parameter"]
    groups = frame.groupby(keys, sort=False)
    more = groups.agg(
        q=("noise_ratio", "median"),
        v=("rank", lambda ranks: VERDICTS[int(sorted(ranks)[len(ranks) // 2])]),
        noise=("noise", "median"),
        floor=("rel_error_truth", "median"),
    ).reset_index()
    return more.merge(_over_seeds(frame, keys, "rel_error"), on=keys, how="left").rename(columns={"parameter": "name"})


def _numbered(gradients: pd.DataFrame, axes: Axes) -> pd.DataFrame:
    """The rows of weight tensors, placed, with `r`, which numbers those of a network from the image on.

    Of networks without any, the rows of all parameters.
    """
    weights = gradients[gradients["kind"] == "weight"]
    frame = place(weights if len(weights) else gradients, axes)
    network = _keys(axes)
    tensors = frame[[*network, "layer", "parameter"]].drop_duplicates().sort_values([*network, "layer"], kind="stable")
    tensors["r"] = tensors.groupby(network, sort=False).cumcount()
    return frame.merge(tensors, on=[*network, "layer", "parameter"])


def over_steps(training: pd.DataFrame, axes: Axes) -> pd.DataFrame:
    """Accuracy after each number of steps: g, x, o*, s, step, y, lo, hi, n."""
    return _over_seeds(place(training, axes), _keys(axes, "s", "step"), "accuracy")


def cost(cells: pd.DataFrame, axes: Axes) -> pd.DataFrame:
    """Memory and time, medians over seeds at the reference of the other axes: g, x, s, bytes, ratio, seconds, n."""
    frame = place(axes.at_reference(cells), axes).dropna(subset=["bytes_per_pixel", "time_ratio"])
    groups = frame.groupby([key for key in _keys(axes, "s") if not key.startswith("o")], sort=False)
    columns = {
        "bytes": ("bytes_per_pixel", "median"),
        "ratio": ("time_ratio", "median"),
        "seconds": ("step_seconds", "median"),
        "n": ("seed", "size"),
    }
    return groups.agg(**columns).reset_index()
