"""Where case files are: shipped with the package, or anywhere else."""

from __future__ import annotations

import glob
from fnmatch import fnmatchcase
from pathlib import Path

from gradbench.errors import UsageError, did_you_mean

__all__ = ["find", "shipped"]

_PACKAGE = Path(__file__).resolve().parent.parent


def shipped() -> dict[str, Path]:
    """Return the shipped cases by name: `gradbench/cases` in an installed wheel, `cases` in a clone."""
    folder = next((folder for folder in (_PACKAGE / "cases", _PACKAGE.parent / "cases") if folder.is_dir()), None)
    return {path.stem: path for path in sorted(folder.glob("*.toml"))} if folder else {}


def find(case: str) -> list[Path]:
    """Return the files that `case` means: a shipped case's name, a path to a .toml file, or a glob over either.

    Raises:
        UsageError: it means no file.
    """
    cases = shipped()
    if case in cases:
        return [cases[case]]
    if Path(case).is_file():
        if not case.endswith(".toml"):
            raise UsageError(f"{case}: not a case file, whose name ends in .toml")
        return [Path(case)]
    if any(character in case for character in "*?["):
        named = [path for name, path in cases.items() if fnmatchcase(name, case)]
        found = named or [Path(path) for path in sorted(glob.glob(case, recursive=True)) if path.endswith(".toml")]
        if found:
            return found
        raise UsageError(f"no case matches {case!r}: the shipped cases are {', '.join(cases)}")
    if case.endswith(".toml"):
        near = did_you_mean(Path(case).stem, cases)
        raise UsageError(f"{case}: there is no such case file{near}")
    near = did_you_mean(case, cases)
    raise UsageError(f"unknown case {case!r}: allowed are {', '.join(cases)}, or the path of a .toml file{near}")
