"""Which run a user means by a folder, by `latest` or by `CASE/latest`."""

from __future__ import annotations

from pathlib import Path

from gradbench.errors import UsageError, did_you_mean

__all__ = ["find_run", "is_run"]

_LATEST = "latest"


def is_run(text: str) -> bool:
    """Whether `text` means a run, not a case: a folder, or something that ends in `latest`."""
    return Path(text).is_dir() or Path(text).name == _LATEST


def find_run(text: str, out: Path) -> Path:
    """Return the folder of the run that `text` means; `latest` is looked for in `out`.

    A run is a folder with a manifest. Beside the runs of a case lies the file `latest`, which names the newest.

    Raises:
        UsageError: there is none.
    """
    path = Path(text)
    if (path / "manifest.json").is_file():
        return path
    if text == _LATEST:
        newest = sorted(out.glob(f"*/{_LATEST}"), key=lambda file: file.stat().st_mtime)
        if not newest:
            raise UsageError(f"{out}: no run there yet; `gradbench run` writes one, or name its folder with --out")
        return _named_in(newest[-1])
    if path.is_dir():
        return _named_in(path / _LATEST)
    if path.name == _LATEST:
        return _named_in(path if path.is_file() else out / path)
    raise UsageError(f"{text}: there is no such run; a run is the folder that `gradbench run` wrote, or `latest`")


def _named_in(file: Path) -> Path:
    """The folder that a `latest` file names."""
    if not file.is_file():
        cases = [each.parent.name for each in file.parent.parent.glob(f"*/{_LATEST}")]
        raise UsageError(f"{file.parent}: no run there{did_you_mean(file.parent.name, cases)}")
    folder = file.parent / file.read_text(encoding="utf-8").strip()
    if not (folder / "manifest.json").is_file():
        raise UsageError(f"{file}: names {folder.name}, which is not the folder of a run")
    return folder
