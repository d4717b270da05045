"""Tables on stdout: rich on a terminal, aligned plain text in a pipe or a file."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import click

__all__ = ["print_table"]


def print_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str] = (), styles: Mapping[str, str] = {}
) -> None:
    """Print rows under headers, the columns named in `numbers` to the right.

    Args:
        headers: the columns' names.
        rows: a text for each column.
        numbers: names of columns of numbers.
        styles: for a cell's first word the rich style that it gets on a terminal.
    """
    if sys.stdout.isatty():
        _print_rich(headers, rows, numbers, styles)
        return
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    for row in (headers, *rows):
        texts = [
            text.rjust(width) if header in numbers else text.ljust(width)
            for header, text, width in zip(headers, row, widths, strict=True)
        ]
        click.echo("  ".join(texts).rstrip())


def _print_rich(
    headers: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str], styles: Mapping[str, str]
) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for header in headers:
        table.add_column(header, justify="right" if header in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(text, styles.get(text.partition(" ")[0], "")) for text in row))
    Console(highlight=False).print(table)
