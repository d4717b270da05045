"""The tables that a run writes: every column once, with its unit, its direction and what it means.

A table is tidy: one row an observation, one column a variable. The axes of the case's matrix (`model`, `depth`, ...)
and `seed` are columns of every table, after `cell`, so that each table can be read alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["CELL_STATUSES", "CHECKS", "OUTCOMES", "RIGHT", "SCHEMA", "TABLES", "VERDICTS", "Column", "Table"]

#: The version of these tables; a run's manifest carries it.
SCHEMA = 4

Direction = Literal["lower is better", "higher is better", ""]

#: What became of a cell, or of one strategy in it. An absent number keeps its row and its reason; `missing` are those
#: that an interrupted run did not come to.
CELL_STATUSES = ("ok", "diverged", "oom", "timeout", "error", "excluded", "missing")

#: From best to worst; `undefined` where the gradient itself is zero, `unresolved` where the interval straddles a limit.
VERDICTS = (
    "undefined",
    "exact",
    "rounding",
    "below-noise",
    "unresolved",
    "comparable",
    "harmful",
    "broken",
)

#: The verdicts under which the gradients are right: their error hides in float32 rounding or in the noise of SGD.
RIGHT = VERDICTS[: VERDICTS.index("unresolved")]

#: What is looked at after one step, beside the gradients' values, in the order of the table `state`.
CHECKS = {
    "gradients": "every parameter has a gradient that has one in stored training, and no other",
    "buffers": "every buffer is what stored training leaves, batch norm's running statistics among them",
    "random stream": "the streams of random numbers of CPU and GPU stand where stored training leaves them",
    "masks": "the backward pass uses what the forward pass drew: dropout masks, random slopes, dropped paths",
    "output": "the output has stored training's dtype, shape and bits",
    "inputs": "the caller's tensors are not written to",
    "memory": "after the backward pass nothing is held that stored training does not hold",
}

#: What a check of `state` may find; `rounding` is as near as `torch.testing.assert_close` asks.
OUTCOMES = ("exact", "rounding", "fault", "not applicable")


@dataclass(frozen=True)
class Column:
    """One column: its name, pandas dtype, unit, which direction is better, whether it is firm, and its meaning.

    Numbers that depend on the load of the machine are advisory (`firm=False`): they are shown, never judged. A run
    whose manifest has a `schema` smaller than `since` does not have the column.
    """

    name: str
    dtype: Literal["string", "int", "float", "bool"]
    meaning: str
    unit: str = ""
    direction: Direction = ""
    firm: bool = True
    since: int = 1


@dataclass(frozen=True)
class Table:
    """One CSV file of a run: what a row is, its key and its other columns.

    The full header is `cell`, the axes of the case's matrix, `seed`, then `columns`. A run whose manifest has a
    `schema` smaller than `since` does not have the file.
    """

    name: str
    row: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    since: int = 1

    @property
    def file(self) -> str:
        """The file's name inside the run's folder."""
        return f"{self.name}.csv"


_LOWER: Direction = "lower is better"
_HIGHER: Direction = "higher is better"
_INTERVAL = "end of its 95 % jackknife interval over minibatches"
_STRATEGY = Column("strategy", "string", "how the backward pass gets its activations")
_STEP = Column("step", "int", "optimiser steps taken on the stored trajectory before this measurement")

CELLS = Table(
    "cells",
    "a cell and a strategy",
    ("cell", "strategy"),
    (
        _STRATEGY,
        Column("status", "string", f"one of {', '.join(CELL_STATUSES)}"),
        Column("reason", "string", "why the status is not ok; empty otherwise"),
        Column("reference", "string", "the strategy that it is held against, which is not judged itself", since=3),
        Column("notes", "string", "what the strategy leaves as it is in this model, in its own words", since=3),
        Column("verdict", "string", f"the worst over weight tensors and steps: one of {', '.join(VERDICTS)}"),
        Column("worst_parameter", "string", "the weight tensor that decides the verdict"),
        Column("worst_step", "int", "the step at which it does"),
        Column("rel_error", "float", "median over weight tensors and steps of |h - g| / |g|", "", _LOWER),
        Column("noise_ratio", "float", "median over weight tensors and steps of the noise ratio", "", _LOWER),
        Column("worst_noise_ratio", "float", "the noise ratio of the worst parameter at the worst step", "", _LOWER),
        Column("min_snr_db", "float", "smallest SNR of a rebuilt activation, stem apart, over steps", "dB", _HIGHER),
        Column("accuracy", "float", "share of test images classified right after training", "", _HIGHER),
        Column("loss", "float", "mean test loss after training", "nat", _LOWER),
        Column("missing_gradients", "int", "parameters without the gradient that stored training has", "", _LOWER),
        Column("changed_buffers", "int", "buffers that differ bitwise from stored training after one step", "", _LOWER),
        Column(
            "repeat_error",
            "float",
            "largest over steps of |h' - h| / |h|, h' the same gradient computed once more; 0 is bit for bit",
            "",
            _LOWER,
            since=2,
        ),
        Column("step_seconds", "float", "median time of one forward and backward pass", "s", _LOWER, firm=False),
        Column(
            "time_ratio", "float", "step_seconds over that of the reference in the same cell", "", _LOWER, firm=False
        ),
        Column("peak_bytes", "float", "most memory alive in a step above weights and batch", "byte", _LOWER),
        Column("saved_bytes", "float", "memory alive between the two passes above the same", "byte", _LOWER),
        Column("left_bytes", "float", "memory alive after the backward pass beyond the gradients", "byte", _LOWER),
        Column("bytes_per_pixel", "float", "peak_bytes divided by N*H*W of the input", "byte", _LOWER),
        Column(
            "counted_bytes_per_pixel",
            "float",
            "what the sources count instead: activations and their gradients alone, by `gradbench show model:NAME`",
            "byte",
            _LOWER,
            since=4,
        ),
        Column("counted_bytes", "float", "the same for the whole minibatch, and the weights", "byte", _LOWER, since=4),
        Column("parameter_count", "int", "numbers in the network's parameters", since=4),
        Column("weight_bytes", "float", "memory of them", "byte", since=4),
        Column(
            "planned_batch",
            "int",
            "largest batch whose step fits into train.memory_limit beside the data set, as a plan counts; 0 for none",
            "",
            _HIGHER,
            since=3,
        ),
        Column(
            "train_seconds",
            "float",
            "how long the strategy's whole training took, evaluations among it, beside the cells that ran then",
            "s",
            _LOWER,
            firm=False,
            since=3,
        ),
        Column("wall_seconds", "float", "how long the whole cell took, all strategies", "s", "", firm=False),
        Column(
            "measuring_share", "float", "share of wall_seconds that was measuring, not training", firm=False, since=3
        ),
    ),
)

GRADIENTS = Table(
    "gradients",
    "a cell, a strategy, a step and a parameter tensor",
    ("cell", "strategy", "step", "parameter"),
    (
        _STRATEGY,
        _STEP,
        Column("parameter", "string", "the parameter's name in the model"),
        Column("layer", "int", "position of the parameter's layer, 0 next to the image"),
        Column("kind", "string", "weight (convolution or linear), norm, or bias"),
        Column("verdict", "string", f"one of {', '.join(VERDICTS)}"),
        Column("grad_norm", "float", "|g|, root mean square over the minibatches"),
        Column("rel_error", "float", "root mean square of |h - g| over that of |g|", "", _LOWER),
        Column("rel_error_low", "float", f"lower {_INTERVAL}", since=3),
        Column("rel_error_high", "float", "upper end of it", since=3),
        Column("snr_db", "float", "-20 log10(rel_error)", "dB", _HIGHER),
        Column("cosine", "float", "mean cosine of h and g", "", _HIGHER),
        Column("cosine_low", "float", f"lower {_INTERVAL}", since=3),
        Column("cosine_high", "float", "upper end of it", since=3),
        Column("norm_ratio", "float", "mean of |h| / |g|; 1 is right"),
        Column("sign_agreement", "float", "mean share of entries with the sign of g", "", _HIGHER),
        Column(
            "zeroed_channels",
            "int",
            "output channels whose gradient is zero on every minibatch, where the stored one is not",
            "",
            _LOWER,
            since=3,
        ),
        Column("rel_error_truth", "float", "median of |h - t| / |t|, t in float64", "", _LOWER),
        Column(
            "excess",
            "float",
            "largest |h - t| / |g - t| over minibatches: how many times worse than plain autograd",
            "",
            _LOWER,
        ),
        Column("sgd_variance", "float", "s2 = 1/(M-1) sum_b |g_b - mean g|^2"),
        Column("sgd_variance_low", "float", f"lower {_INTERVAL}", since=3),
        Column("sgd_variance_high", "float", "upper end of it", since=3),
        Column("noise_ratio", "float", "mean_b |h_b - g_b|^2 / s2", "", _LOWER),
        Column("noise_low", "float", f"lower {_INTERVAL}; percentile bootstrap before schema 3", "", _LOWER),
        Column("noise_high", "float", "upper end of it", "", _LOWER),
        Column("bias_ratio", "float", "(|mean_b e_b|^2 - s2_e/M) / (s2/M): squared bias over noise", "", _LOWER),
        Column("bias_low", "float", f"lower {_INTERVAL}", since=3),
        Column("bias_high", "float", "upper end of it", since=3),
        Column(
            "draw_variance_ratio",
            "float",
            "mean_b of the variance of h_b over draws of a random strategy, over s2: its part of noise_ratio",
            "",
            _LOWER,
            since=3,
        ),
        Column("draw_variance_low", "float", f"lower {_INTERVAL}", since=3),
        Column("draw_variance_high", "float", "upper end of it", since=3),
        Column(
            "check_noise_ratio",
            "float",
            "noise_ratio of minibatches of measure.check_batch_size images, at the same weights",
            "",
            _LOWER,
            since=3,
        ),
        Column("check_noise_low", "float", f"lower {_INTERVAL}", since=3),
        Column("check_noise_high", "float", "upper end of it", since=3),
    ),
)

ACTIVATIONS = Table(
    "activations",
    "a cell, a step and a layer whose input was rebuilt",
    ("cell", "strategy", "step", "layer"),
    (
        _STRATEGY,
        _STEP,
        Column("layer", "string", "the layer's name in the model"),
        Column("position", "int", "its place in the forward pass, 0 next to the image"),
        Column("kind", "string", "what the layer is: norm, activation, convolution, coupling, pooling, user"),
        Column("block", "int", "its block in the chain; -1 for the stem"),
        Column("snr", "float", "sum(x^2) / sum((x_hat - x)^2) of the rebuilt input", "", _HIGHER),
        Column("snr_db", "float", "the same in decibels", "dB", _HIGHER),
        Column("alpha", "float", "SNR of the rebuilt input over SNR of the output it was rebuilt from", "", _HIGHER),
        Column(
            "alpha_theory",
            "float",
            "alpha of small white noise in the layer's output, in closed form; nan where there is none",
            "",
            _HIGHER,
            since=3,
        ),
        Column("alpha_ratio", "float", "alpha over alpha_theory: 1 where the output's error is white noise", since=3),
        Column("flipped_gates", "float", "share of an activation's rebuilt inputs with the wrong sign", "", _LOWER),
    ),
)

STATE = Table(
    "state",
    "a cell, a strategy and a check of what one step leaves behind",
    ("cell", "strategy", "check"),
    (
        _STRATEGY,
        Column("check", "string", f"one of {', '.join(CHECKS)}"),
        Column("outcome", "string", f"one of {', '.join(OUTCOMES)}"),
        Column("says", "string", "what is wrong, in one sentence, or why the check does not apply; empty otherwise"),
        Column(
            "amount",
            "float",
            "how much is wrong: parameters, buffers, streams, modules, |s' - s| / |s| of outputs, tensors, or bytes",
            "",
            _LOWER,
        ),
    ),
    since=3,
)

TRAINING = Table(
    "training",
    "a cell, a strategy and an evaluation during training",
    ("cell", "strategy", "step"),
    (
        _STRATEGY,
        Column("step", "int", "optimiser steps taken with this strategy"),
        Column("train_loss", "float", "mean loss of the minibatches since the last evaluation", "nat", _LOWER),
        Column("loss", "float", "mean test loss", "nat", _LOWER),
        Column("accuracy", "float", "share of test images classified right", "", _HIGHER),
    ),
)

CLAIMS = Table(
    "claims",
    "a claim of the case",
    ("claim",),
    (
        Column("claim", "string", "its name in the case file"),
        Column("says", "string", "the sentence"),
        Column("source", "string", "who says it"),
        Column("status", "string", "held, not held, undecided or not measured"),
        Column("value", "float", "the number that decides it: the median over seeds"),
        Column("low", "float", "lower end of its 95 % bootstrap interval over seeds"),
        Column("high", "float", "upper end of it"),
        Column("test", "string", "what the number is held against"),
        Column("seeds", "int", "how many seeds it rests on"),
        Column(
            "reason",
            "string",
            "why it is undecided or was not measured, or which seeds have no number; empty otherwise",
        ),
    ),
)

TABLES: dict[str, Table] = {table.name: table for table in (CELLS, GRADIENTS, ACTIVATIONS, STATE, TRAINING, CLAIMS)}
