"""`gradbench validate`: every mistake in every named case file, at once."""

from __future__ import annotations

from pathlib import Path

import click

from gradbench.case.expand import count
from gradbench.case.find import find, shipped
from gradbench.case.load import load, load_profiles
from gradbench.errors import CaseError

__all__ = ["command"]


@click.command(short_help="Check case files.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
def command(names: tuple[str, ...]) -> None:
    """Check case files with all their profiles: shipped names, globs or .toml paths; all shipped cases by default.

    Prints a line for each good case; mistakes go to stderr, one line each with file, line, key, what is allowed and the
    nearest name, and the exit code is 2.
    """
    paths = dict.fromkeys(path for name in names or shipped() for path in find(name))
    mistakes: list[str] = []
    for path in paths:
        try:
            click.echo(f"ok {path.stem} ({_size(path)})")
        except CaseError as error:
            mistakes += error.lines
    if mistakes:
        raise CaseError(mistakes)


def _size(path: Path) -> str:
    sizes = [f"{name}: {count(case)} cells" for name, case in load_profiles(path).items()]
    return f"profiles {', '.join(sizes)}" if sizes else f"no profiles: {count(load(path))} cells"
