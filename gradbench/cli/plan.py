"""`gradbench plan`: the largest batch and the largest depth that fit into a memory, for each strategy."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from gradbench.case.sizes import UNITS, read_size
from gradbench.cli.tables import print_sentence, print_table
from gradbench.errors import EnvironmentError, UsageError

if TYPE_CHECKING:
    import torch

    from gradbench.planning.plan import Plan, Progress

__all__ = ["command"]

#: Each takes some hundred megabytes, and on a GPU a context.
_MOST_PROCESSES = 16


class _Bytes(click.ParamType[int]):
    """`1GiB`, `500MB` or a number of bytes."""

    name = "size"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        size = read_size(value)
        if size is None:
            self.fail(f"{value!r} is no size: write 1GiB, 500MB or a number of bytes", param, ctx)
        return size


class _Image(click.ParamType[tuple[int, int]]):
    """`240x240`, height and width."""

    name = "size"

    def convert(
        self, value: str | tuple[int, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", value)
        if match is None:
            self.fail(f"{value!r} is no image: write its height and width in pixels, 240x240", param, ctx)
        return int(match[1]), int(match[2])


@click.command(short_help="Say what fits into a memory.")
@click.option("--model", required=True, metavar="NAME", help="A name of `list models`, resnet18, or MODULE:FUNCTION.")
@click.option("--memory", required=True, type=_Bytes(), metavar="SIZE", help="1GiB, 500MB or a number of bytes.")
@click.option("--image", type=_Image(), metavar="HxW", help="Height and width in pixels; by default data.image_size.")
@click.option("--batch", type=click.IntRange(2), default=128, show_default=True, help="Images, for the largest depth.")
@click.option(
    "--strategy", "strategies", multiple=True, metavar="NAME", help="approximate:4; repeatable. Default: all."
)
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="model.width=64 or train.optimizer=adam.")
@click.option("--device", default="auto", show_default=True, metavar="DEVICE", help="cuda to check there, or cpu.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    model: str,
    memory: int,
    image: tuple[int, int] | None,
    batch: int,
    strategies: tuple[str, ...],
    sets: tuple[str, ...],
    device: str,
    as_json: bool,
) -> None:
    """Print the largest batch at the model's depth, and the largest depth at a batch, that fit into a memory.

    They are predicted from training steps on tensors without values, which need no memory, and checked with real steps
    if there is a GPU. A function returns a model, or a model and a loss; its parameter `depth`, if there is one, is
    varied.
    """
    from gradbench.planning.plan import make_plan, usual_strategies
    from gradbench.planning.subject import subject_of

    subject = subject_of(model, image, sets)
    gpu = _gpu(device)
    with _told() as tell:
        plan = make_plan(subject, memory, batch, strategies or usual_strategies(), gpu, _jobs(), tell)
    if as_json:
        click.echo(json.dumps(asdict(plan), indent=2))
    else:
        _print(plan, gpu is not None)


def _gpu(device: str) -> torch.device | None:
    import torch

    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise UsageError(f"--device {device}: allowed are auto, cpu, cuda, cuda:N")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "cpu" or (device == "auto" and not count):
        return None
    gpu = torch.device("cuda" if device == "auto" else device)
    if (gpu.index or 0) >= count:
        raise EnvironmentError(f"--device {device}: torch {torch.__version__} finds no such GPU; --device cpu predicts")
    return torch.device("cuda", gpu.index or 0)


def _jobs() -> int:
    """Return how many processes to use: one a core; two at least, so that whatever happens to one is its own alone."""
    from gradbench.runner.plan import cores

    return min(max(cores(), 2), _MOST_PROCESSES)


@contextmanager
def _told() -> Iterator[Callable[[Progress], None]]:
    """Show on stderr how far it is and what was found: a line for each that is done, and on a terminal a live bar."""
    started = time.monotonic()

    def tell_line(progress: Progress) -> None:
        if progress.ended:
            click.echo(_line(progress, time.monotonic() - started), err=True)

    if not sys.stderr.isatty():
        yield tell_line
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar
    from rich.table import Column

    columns = (
        TextColumn("{task.description}"),
        BarColumn(24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn(
            "{task.fields[running]}", style="dim", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)
        ),
    )
    with Bar(*columns, console=Console(stderr=True, highlight=False), transient=True, expand=True) as bar:
        task = bar.add_task("beginning", total=1, running="")

        def tell(progress: Progress) -> None:
            if found := _found(progress):
                bar.console.print(f"{progress.doing}: {progress.ended}: {found}", style="dim")
            bar.update(
                task,
                description=progress.doing,
                completed=progress.done,
                total=progress.total,
                running=", ".join(progress.running),
            )

        yield tell


def _line(progress: Progress, seconds: float) -> str:
    how_far = f"{progress.doing}: {progress.ended} done, {progress.done} of {progress.total}, after {seconds:.0f} s"
    found = _found(progress)
    return f"{how_far}: {found}" if found else how_far


def _found(progress: Progress) -> str:
    """Return the largest batch and depth that have just been found, so that nobody waits for the table to see one."""
    return ", ".join(
        f"{part} {_count(value)}"
        for part in ("batch", "depth")
        for by in ("largest", "checked")
        if (value := progress.found.get(f"{by}_{part}", 0)) != 0
    )


def _print(plan: Plan, checked: bool) -> None:
    resident = plan.resident
    depth = "" if plan.depth is None else f" of depth {plan.depth}"
    print_sentence(
        f"{plan.model}{depth}, images of {plan.image[0]}x{plan.image[1]}, {_size(plan.memory)}: weights "
        f"{_size(resident.weights)}, gradients {_size(resident.gradients)}, optimiser {_size(resident.state)}."
    )
    click.echo()
    known = [room for room in plan.rooms if not room.reason]
    rows = [dict(_row(plan, asdict(room), checked)) for room in known]
    if rows:
        headers = list(rows[0])
        print_table(headers, [list(row.values()) for row in rows], headers[1:])
    if plan.untimed:
        click.echo()
        print_sentence(f"The time of a step was not measured: {plan.untimed}")
    if absent := [room for room in plan.rooms if room.reason]:
        click.echo()
        for room in absent:
            print_sentence(f"{room.strategy}: {room.reason}")


def _row(plan: Plan, room: dict[str, float | str | None], checked: bool) -> Iterator[tuple[str, str]]:
    from gradbench.planning.room import LARGEST_BATCH, LARGEST_DEPTH

    yield "strategy", str(room["strategy"])
    yield "bytes a pixel", f"{room['bytes_per_pixel']:,.0f}"
    yield "fixed", _size(room["fixed_bytes"])
    yield "largest batch", _count(room["largest_batch"], LARGEST_BATCH)
    if checked:
        yield "on this GPU", _count(room["checked_batch"])
    if plan.depth is not None:
        yield f"largest depth at batch {plan.batch}", _count(room["largest_depth"], LARGEST_DEPTH)
        if checked:
            yield "depth on this GPU", _count(room["checked_depth"])
    if checked:
        yield "step time", "" if room["time_ratio"] is None else f"{room['time_ratio']:.2f}"


def _count(value: float | str | None, end: int | None = None) -> str:
    """Return a number that was looked for up to `end`."""
    if value is None:
        return "none"
    return f"{value:,} or more" if value == end else f"{value:,}"


def _size(value: float | str | None) -> str:
    size = float(value or 0)
    unit = next((unit for unit in ("GiB", "MiB", "KiB") if abs(size) >= UNITS[unit]), "B")
    return f"{size / UNITS[unit]:.4g} {unit}"
