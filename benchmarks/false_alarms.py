"""How often does `gradbench compare` raise an alarm over runs between which nothing changed?

The runs are real: a small network, real gradients, and a strategy that rounds them at random, seeded anew in every
run, so that between two runs every number of it is noise. Each repetition makes two runs and compares them:
`python benchmarks/false_alarms.py --repetitions 200`.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import torch
from scipy.stats import binomtest
from torch import nn

from gradbench.analysis.tables import Run, read_table
from gradbench.case.expand import expand
from gradbench.case.schema import Case
from gradbench.compare.compare import compare
from gradbench.compare.comparison import Rules
from gradbench.invertible import storing
from gradbench.measure.cell import run_cell
from gradbench.registry import Entry
from gradbench.results import SCHEMA, TABLES
from gradbench.runner.tables import write_claims, write_tables
from gradbench.strategies import STRATEGIES
from gradbench.strategies.base import Strategy

CASE = {
    "schema": 1,
    "title": "Random rounding",
    "question": "Does chance look like a change?",
    "seeds": 3,
    "matrix": {"depth": [1, 2]},
    "model": {"name": "layerwise", "width": 4, "pooling": []},
    "data": {"name": "synthetic", "batch_size": 8, "image_size": 8},
    "train": {"strategies": "none"},
    "measure": {
        "strategies": ["checkpoint"],
        "sgd_batches": 2,
        "truth_batches": 1,
        "activations": False,
        "cost": False,
    },
}


class RandomRounding(Strategy):
    """Stored training whose gradients are rounded at random to a grid of a few values a standard deviation."""

    name = "checkpoint"
    generator = torch.Generator()

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        """Round the gradients when the context ends."""
        with storing(model):
            yield
        for parameter in model.parameters():
            if parameter.grad is not None:
                grid = parameter.grad.square().mean().sqrt() / 4
                chance = torch.rand(parameter.shape, generator=self.generator)
                parameter.grad = (parameter.grad / grid + chance).floor() * grid


class Alone:
    """A gate for cells that run one after another."""

    def shared(self) -> AbstractContextManager[None]:
        """Use the device beside nobody."""
        return nullcontext()

    def exclusive(self) -> AbstractContextManager[None]:
        """Use the device alone."""
        return nullcontext()

    def give_way(self, finish: Callable[[], None]) -> None:
        """Nobody waits."""


def run(case: Case, seed: int, folder: Path) -> Run:
    """Run every cell of the case with its own random rounding."""
    RandomRounding.generator.manual_seed(seed)
    results = [(cell, run_cell(cell, None, "cpu", Alone(), lambda text: None)) for cell in expand(case, "random")]
    axes = tuple(case.matrix)
    write_tables(folder, axes, results)
    write_claims(folder, [])
    tables = {name: read_table(folder, name, axes) for name in TABLES}
    manifest = {"schema": SCHEMA, "case": "random", "axes": case.matrix, "settings": case.model_dump(mode="json")}
    return Run(folder, manifest, axes, tables)


def main() -> None:
    """Print how many of the repetitions raised an alarm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--size", type=float, default=0.1)
    parser.add_argument("--rate", type=float, default=0.05)
    options = parser.parse_args()
    STRATEGIES._entries["checkpoint"] = Entry(f"{__name__}:RandomRounding", "stored training, rounded at random")
    case, rules = Case.model_validate(CASE, strict=False), Rules(options.size, options.rate)
    started, alarms, spread = time.perf_counter(), {0.0: 0, options.size: 0}, []
    with tempfile.TemporaryDirectory() as folder:
        for repetition in range(options.repetitions):
            base, new = (run(case, 2 * repetition + number, Path(folder)) for number in range(2))
            for size in alarms:
                comparison = compare(base, new, Rules(size, rules.rate))
                alarms[size] += comparison.exit_code == 1
            tests = comparison.tests
            family = tests[(tests["check"] == "rel_error") & (tests["strategy"] == "checkpoint")]
            spread.append(math.log(family["ratio"].iloc[0]))
            print(f"{repetition + 1} pairs of runs, alarms by size: {alarms}", file=sys.stderr, flush=True)
    seconds = time.perf_counter() - started
    deviation = math.sqrt(sum(each**2 for each in spread) / len(spread))
    print(f"{options.repetitions} pairs of runs in {seconds:.0f} s; their errors differ by {deviation:.2%}")
    for size, count in alarms.items():
        found = binomtest(count, options.repetitions, rules.rate, alternative="greater")
        low, high = binomtest(count, options.repetitions).proportion_ci()
        print(
            f"size {size:g}, rate {rules.rate:g}: {count} alarms, {count / options.repetitions:.1%} "
            f"(95 % interval {low:.1%} to {high:.1%}); more than the rate: p {found.pvalue:.2g}"
        )


if __name__ == "__main__":
    main()
