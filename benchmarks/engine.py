"""What the reversible engine costs: memory and time of a training step, against ordinary autograd in the same run.

Three tables: every network with every exact strategy at the sources' two sizes of batch; memory against depth; and the
same reversible blocks by the public reversible libraries, those that are installed:

    python -m benchmarks.engine                     # on the GPU if there is one, else the CPU with smaller batches
    python -m benchmarks.engine --tables libraries --repeats 9
    python -m benchmarks.engine --models hybrid --strategies stored reconstruct approximate:4

Forward and backward pass, float32 without TF32. Times are medians of steps taken in turn (A B A B), as ratios to
`stored`. Peaks are above weights and batch; the column without gradients leaves the weights' gradients out as well.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from benchmarks.output import shown, write
from gradbench.case.schema import Model
from gradbench.errors import GradbenchError
from gradbench.measure.cost import measure_cost
from gradbench.measure.precision import use_plain_float32
from gradbench.models import MODELS
from gradbench.models.build import build
from gradbench.strategies import STRATEGIES
from gradbench.strategies.base import Strategy

EXACT = ("stored", "reconstruct", "checkpoint", "inplace-abn")
LIBRARIES = ("stored", "reconstruct", "checkpoint", "memcnn", "revtorch", "revlib", "group-add-rev")
#: Images and their size, on a GPU and on a CPU.
BATCHES = {"cuda": ((512, 32), (32, 240)), "cpu": ((16, 32), (1, 240))}
DEPTHS = (4, 16, 64, 256)


@dataclass(frozen=True)
class Row:
    """One strategy on one network: the columns of the tables.

    Attributes:
        table: networks, depth or libraries.
        model: the network.
        depth: its blocks.
        batch: images x size.
        strategy: how the backward pass gets its activations.
        time_ratio: median time of a step over that of `stored`.
        step_ms: the median.
        peak_mib: the most memory above weights and batch.
        peak_bytes_per_pixel: the same for each pixel of the batch, without the weights' gradients.
        saved_bytes_per_pixel: alive between the forward and the backward pass.
        left_bytes: alive after the backward pass, beyond the weights' gradients.
        note: why there is no number.
    """

    table: str
    model: str
    depth: int
    batch: str
    strategy: str
    time_ratio: float | None = None
    step_ms: float | None = None
    peak_mib: float | None = None
    peak_bytes_per_pixel: float | None = None
    saved_bytes_per_pixel: float | None = None
    left_bytes: int | None = None
    note: str = ""


def measure(
    table: str, settings: Model, images: int, size: int, names: list[str], repeats: int, device: str
) -> Iterator[Row]:
    """Yield a row for each strategy."""
    torch.manual_seed(0)
    depth = settings.depth
    batch = torch.randn(images, 3, size, size, device=device), torch.randint(0, 10, (images,), device=device)
    model = build(settings, 10, size).to(device).train()
    head = (table, settings.name, depth, f"{images}x{size}x{size}")
    usable: list[Strategy] = []
    for name in names:
        reason, strategy = _created(name, model)
        if strategy is None:
            yield Row(*head, name, note=reason)
        else:
            usable.append(strategy)
    try:
        costs = measure_cost(model, usable, batch, repeats)
    except torch.OutOfMemoryError:
        yield from (Row(*head, strategy.name, note="out of memory") for strategy in usable)
        return
    pixels = images * size * size
    gradients = sum(parameter.nbytes for parameter in model.parameters() if parameter.requires_grad)
    stored = costs["stored"].step_seconds if "stored" in costs else None
    for name, cost in costs.items():
        seconds, memory = cost.step_seconds, cost.memory
        times = (seconds / stored, 1e3 * seconds) if stored else (None, None)
        if memory is None:
            yield Row(*head, name, *times)
        else:
            peak, saved = memory.peak / 2**20, memory.saved / pixels
            yield Row(*head, name, *times, peak, (memory.peak - gradients) / pixels, saved, memory.left)


def _created(name: str, model: nn.Module) -> tuple[str, Strategy | None]:
    try:
        strategy = STRATEGIES.create(name)
        reason = strategy.applies_to(model)
    except (ImportError, GradbenchError) as error:
        reason = str(error)
    return (reason, None) if reason else ("", strategy)


def networks(options: argparse.Namespace) -> Iterator[Row]:
    """Yield every network with every strategy, at both sizes."""
    for images, size in BATCHES[options.device]:
        for name in options.models:
            names = options.strategies or list(EXACT)
            yield from measure("networks", Model(name=name), images, size, names, options.repeats, options.device)


def depth(options: argparse.Namespace) -> Iterator[Row]:
    """Yield memory from 4 to 256 blocks of one stage."""
    images = 64 if options.device == "cuda" else 16
    for name in [name for name in ("revnet", "layerwise", "hybrid") if name in options.models]:
        for blocks in DEPTHS:
            settings = Model(name=name, depth=blocks, width=32, pooling=())
            yield from measure("depth", settings, images, 32, ["reconstruct"], 1, options.device)


def libraries(options: argparse.Namespace) -> Iterator[Row]:
    """Yield 16 reversible blocks of 64 channels, as this and as other libraries run them."""
    settings = Model(name="revnet", depth=16, width=64, pooling=())
    names = options.strategies or list(LIBRARIES)
    yield from measure("libraries", settings, 32, 32, names, options.repeats, options.device)


TABLES = {"networks": networks, "depth": depth, "libraries": libraries}


def main() -> None:
    """Measure, print as Markdown while it goes, and write Markdown and CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--strategies", nargs="+", help="with their arguments, as in a case; `stored` is the reference")
    parser.add_argument("--repeats", type=int, default=7, help="timed steps of each strategy")
    parser.add_argument("--device", choices=BATCHES, default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--cudnn",
        choices=("heuristic", "deterministic", "search"),
        default="heuristic",
        help="how algorithms of convolutions are chosen on a GPU: it decides their workspace, which is in the peak",
    )
    parser.add_argument("--out", type=Path, help="write OUT.md and OUT.csv")
    options = parser.parse_args()
    rows: list[Row] = []
    use_plain_float32()
    torch.backends.cudnn.deterministic = options.cudnn == "deterministic"
    torch.backends.cudnn.benchmark = options.cudnn == "search"
    for name in options.tables:
        for row in TABLES[name](options):
            rows.append(row)
            if options.out:
                written(rows, options)
            print(*(shown(getattr(row, field.name)) for field in fields(row)), sep=" | ", flush=True)


def written(rows: list[Row], options: argparse.Namespace) -> None:
    """Write what there is: a run that is cut short leaves the rows that it has."""
    frame = pd.DataFrame(rows)
    sections = [(str(name), part.drop(columns="table")) for name, part in frame.groupby("table", sort=False)]
    write(options.out, "The engine's cost", options.device, frame, sections)


if __name__ == "__main__":
    main()
