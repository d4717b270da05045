"""Which run a user means: a folder, `latest`, `latest~2`, `baseline`, or one of these words after `CASE/`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from gradbench.errors import UsageError, did_you_mean
from gradbench.history.baselines import baseline_of
from gradbench.history.series import read_manifest, series_of

__all__ = ["earlier", "find_run", "is_run", "runs_of"]

_LATEST = "latest"
_BASELINE = "baseline"
#: The manifests of runs in a case's folder; what begins with a dot is no run's.
_RUNS = "[!.]*/manifest.json"
_WORD = re.compile(rf"{_LATEST}(~(?P<back>\d+))?|{_BASELINE}")


def is_run(text: str) -> bool:
    """Whether `text` means a run, not a case: a folder, or something that ends in `latest`, `latest~N`, `baseline`."""
    return Path(text).is_dir() or _WORD.fullmatch(Path(text).name) is not None


def find_run(text: str, out: Path, like: Path | None = None) -> Path:
    """Return the folder of the run that `text` means.

    A run is a folder with a manifest; the file `latest` beside the runs of a case names the newest. `latest` is the
    newest run of all cases in `out`, `latest~2` the second before it of the same case, and `baseline` the accepted run
    of the same case, profile, sets and environment.

    Args:
        text: a run's folder (from here or from `out`), a case's folder for its newest run, `latest`, `latest~N`,
            `baseline`, or one of these words after `CASE/`, a case's name or its folder.
        out: the folder that holds a folder for each case.
        like: the run whose `baseline` is meant; without it, that of the newest run.

    Raises:
        UsageError: there is none.
    """
    path = Path(text)
    if like is not None and text == _BASELINE:
        return baseline_of(like)
    word = _WORD.fullmatch(path.name)
    if word is None or path.is_dir():
        return _folder(path, out)
    if path.parent == Path():
        newest = _latest(_newest_case(out))
    elif path.parent.is_dir():
        newest = _latest(path.parent)
    else:
        newest = _latest(out / path.parent)
    if path.name == _BASELINE:
        return baseline_of(newest)
    return _back(newest, int(word["back"] or 0))


def runs_of(case_folder: Path) -> list[Path]:
    """The folders of the runs in `case_folder`, the oldest first by the time at which they ended."""
    return sorted((path.parent for path in case_folder.glob(_RUNS)), key=_age)


def earlier(run_folder: Path) -> Iterator[Path]:
    """The earlier runs of the same case, profile, sets and environment, the newest first.

    What lies beside them and has no manifest that can be read is none.

    Raises:
        UsageError: `run_folder` is not the folder of a run.
    """
    run_folder = _named(run_folder)
    series, age = series_of(read_manifest(run_folder)), _age(run_folder)
    found = {}
    for path in run_folder.parent.glob(_RUNS):
        with suppress(UsageError):
            if series_of(read_manifest(path.parent)) == series:
                found[path.parent] = _age(path.parent)
    return iter(sorted((run for run in found if found[run] < age), key=lambda run: found[run], reverse=True))


def _folder(path: Path, out: Path) -> Path:
    """The run that lies in `path` or `out / path`, or the newest one there if it is a case's folder."""
    for place in (path, out / path):
        if (place / "manifest.json").is_file():
            return place
    if path.is_dir():
        return _latest(path)
    near = did_you_mean(str(path), (str(run.relative_to(out)) for case in _cases(out) for run in runs_of(case)))
    words = "`latest`, `latest~1`, `baseline`, or one of these after CASE/"
    raise UsageError(f"{path}: there is no such run; a run is the folder that `gradbench run` wrote, or {words}{near}")


def _back(newest: Path, back: int) -> Path:
    """The run that is `back` before the newest one of its case."""
    if back == 0:
        return newest
    before = _before(newest)
    if back > len(before):
        count = len(before) + 1
        runs = f"are {count} runs" if count > 1 else "is 1 run"
        oldest = f", the oldest of them {_LATEST}~{count - 1}" if count > 1 else f", {_LATEST}"
        raise UsageError(f"{_LATEST}~{back}: there {runs} in {newest.parent}{oldest}")
    return before[-back]


def _before(run_folder: Path) -> list[Path]:
    """The runs beside `run_folder` that ended before it, the oldest first."""
    run_folder = _named(run_folder)
    age = _age(run_folder)
    return [run for run in runs_of(run_folder.parent) if _age(run) < age]


def _named(run_folder: Path) -> Path:
    """The same folder by a path whose parent is the folder that holds it."""
    return run_folder.resolve() if run_folder.name in ("", "..") else run_folder


def _age(run_folder: Path) -> tuple[str, int, str]:
    """Sorts by the second at which a run ended, then by the time at which that was written."""
    ended = str(read_manifest(run_folder).get("finished", ""))
    return ended, (run_folder / "manifest.json").stat().st_mtime_ns, run_folder.name


def _cases(out: Path) -> list[Path]:
    """The folders of cases that have a newest run."""
    return sorted(path.parent for path in out.glob(f"[!.]*/{_LATEST}") if path.is_file())


def _newest_case(out: Path) -> Path:
    """The folder of the case with the newest run of all."""
    cases = _cases(out)
    if not cases:
        raise UsageError(f"{out}: no run there yet; `gradbench run` writes one, or name its folder with --out")
    return max(cases, key=lambda case: _age(_latest(case)))


def _latest(case: Path) -> Path:
    """The run that the file `latest` in a case's folder names."""
    file = case / _LATEST
    if not file.is_file():
        raise UsageError(f"{case}: no run there{did_you_mean(case.name, [each.name for each in _cases(case.parent)])}")
    folder = case / file.read_text(encoding="utf-8").strip()
    if not (folder / "manifest.json").is_file():
        raise UsageError(f"{file}: names {folder.name}, which is not the folder of a run")
    return folder
