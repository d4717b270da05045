"""`reports/nightly/DATE/`: what a night found, in files that are whole at any time."""

from __future__ import annotations

import json
from pathlib import Path

from gradbench.errors import UsageError
from gradbench.files import make_writable, write_atomic
from gradbench.history.table import locked
from gradbench.nightly.junit import junit
from gradbench.nightly.markdown import markdown
from gradbench.nightly.outcome import Outcome, from_json, same_place, to_json

__all__ = ["FOLDER", "read_night", "record"]

#: In the folder of reports.
FOLDER = "nightly"


def record(out: Path, date: str, outcome: Outcome) -> Path:
    """Add `outcome` to the night's files, in place of what they say of the same case there; return their folder.

    Raises:
        UsageError: the night's file is damaged.
        EnvironmentError: the files cannot be written.
    """
    folder = out / FOLDER / date
    make_writable(folder)
    with locked(folder):
        outcomes = [one for one in read_night(folder) if not same_place(one, outcome)]
        outcomes = sorted([*outcomes, outcome], key=lambda one: (one.case, one.place, one.torch))
        text = json.dumps({"date": date, "cases": [to_json(one) for one in outcomes]}, indent=2)
        write_atomic(folder / "nightly.json", f"{text}\n")
        write_atomic(folder / "junit.xml", junit(date, outcomes))
        write_atomic(folder / "summary.md", markdown(date, outcomes))
    return folder


def read_night(folder: Path) -> list[Outcome]:
    """What is known of a night; nothing before its first case.

    Raises:
        UsageError: `nightly.json` is damaged.
    """
    path = folder / "nightly.json"
    if not path.is_file():
        return []
    try:
        return [from_json(entry) for entry in json.loads(path.read_text(encoding="utf-8"))["cases"]]
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: damaged ({error}); move it away, and the night is written again") from error
