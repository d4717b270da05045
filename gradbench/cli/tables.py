"""Tables and sentences on stdout: fitted to a terminal, aligned plain text in a pipe or a file."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Literal

import click

__all__ = ["print_sentence", "print_table"]

#: A column of prose is broken into lines no shorter than this.
_NARROWEST = 16


def print_sentence(text: str) -> None:
    """Print text, wrapped between words on a terminal."""
    if sys.stdout.isatty():  # in which names and paths stay whole, so that they can be copied
        width = shutil.get_terminal_size().columns
        text = textwrap.fill(text, width, break_on_hyphens=False, break_long_words=False)
    click.echo(text)


def print_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    numbers: Sequence[str] = (),
    prose: Sequence[str] = (),
    styles: Mapping[str, str] | None = None,
) -> None:
    """Print rows under headers.

    Args:
        headers: the columns' names.
        rows: a text for each column.
        numbers: names of columns of numbers, which stand to the right.
        prose: names of columns that a terminal may break into lines; the others stay whole.
        styles: the rich style that a terminal gives to a text, or to one that begins with this word.
    """
    if sys.stdout.isatty():
        _print_rich(headers, rows, numbers, prose, styles or {})
        return
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    for row in (headers, *rows):
        texts = [
            text.rjust(width) if header in numbers else text.ljust(width)
            for header, text, width in zip(headers, row, widths, strict=True)
        ]
        click.echo("  ".join(texts).rstrip())


def _print_rich(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    numbers: Sequence[str],
    prose: Sequence[str],
    styles: Mapping[str, str],
) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for header, *texts in zip(headers, *rows, strict=True):
        width = None if header in prose else max(map(len, (header, *texts)))
        side: Literal["left", "right"] = "right" if header in numbers else "left"
        table.add_column(header, justify=side, min_width=width, no_wrap=width is not None, overflow="fold")
    for row in rows:
        table.add_row(*(Text(text, styles.get(text) or styles.get(text.partition(" ")[0], "")) for text in row))
    console = Console(highlight=False)
    needed = sum((column.min_width or _NARROWEST) + 2 for column in table.columns)
    console.width = max(console.width, needed)  # a terminal too narrow wraps, nothing is cut
    console.print(table, crop=False)
