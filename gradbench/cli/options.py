"""Options that several verbs have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

__all__ = ["cases_option", "device_option", "jobs_option", "reports_option", "run_device_option"]

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def cases_option() -> Decorator:
    """Return `--case`, which must be given."""
    return click.option(
        "--case",
        "cases",
        multiple=True,
        required=True,
        metavar="NAME",
        help="A shipped case, a glob or a .toml; repeatable.",
    )


def device_option(help: str = "auto, cpu, cuda or cuda:N.") -> Decorator:
    """Return `--device`, "auto" unless it is given."""
    return click.option("--device", default="auto", show_default=True, metavar="DEVICE", help=help)


def run_device_option() -> Decorator:
    """Return `--device` of a verb that runs cells."""
    return device_option("auto, cpu, cuda (all GPUs there are) or cuda:N (one of them).")


def jobs_option() -> Decorator:
    """Return `--jobs`."""
    return click.option(
        "--jobs",
        type=int,
        metavar="N",
        help="Cells at a time, of all GPUs together; by default what suits.",
    )


def reports_option(meaning: str) -> Decorator:
    """Return `--out`, the folder of reports; `meaning` is what this verb does with it."""
    return click.option(
        "--out",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path("reports"),
        show_default=True,
        metavar="DIR",
        help=meaning,
    )
