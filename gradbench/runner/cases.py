"""The cases that a run was asked for, each with the profile that suits the machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradbench.case import find as files
from gradbench.case.load import load
from gradbench.case.schema import Case
from gradbench.errors import UsageError
from gradbench.runner.options import RunOptions

__all__ = ["Chosen", "choose", "find"]


@dataclass(frozen=True)
class Chosen:
    """A case with its profile applied.

    Attributes:
        name: the file's name without `.toml`; also the name of its folder of runs.
        path: the file.
        text: what stands in it.
        case: what it says.
        profile: the profile's name, or None.
        why: a sentence that names the profile and says why it was chosen.
    """

    name: str
    path: Path
    text: str
    case: Case
    profile: str | None
    why: str

    @property
    def word(self) -> str:
        """What to pass to `--case`: the name of a shipped case, else the path."""
        return self.name if files.shipped().get(self.name) == self.path else str(self.path)


def find(options: RunOptions) -> list[Path]:
    """The files of all cases, each once; they are read, so that a mistake in any is known before anything starts.

    What `--set` changes can only be judged with the profile, so without one it is `choose` that does.

    Raises:
        CaseError: mistakes in a case file.
        UsageError: a name that means no case, or two files of the same name.
    """
    found: dict[str, Path] = {}
    for path in (path for word in options.cases for path in files.find(word)):
        if found.setdefault(path.stem, path).resolve() != path.resolve():
            raise UsageError(f"{found[path.stem]} and {path}: two cases of the same name would share a folder")
    for path in found.values():
        _load(path, options.profile, () if options.profile is None else options.sets)
    return list(found.values())


def choose(path: Path, options: RunOptions, environment: dict[str, Any]) -> Chosen:
    """Read the case with the profile that was asked for, or with the one that suits the machine.

    Raises:
        CaseError: mistakes in the case file or in `--set`.
    """
    suits = "quick" if environment["device"] == "cpu" else "full"
    if suits == "full":
        reason = f"there is a GPU ({environment['device_name']})"
    else:
        reason = "there is no GPU here" if options.device == "auto" else "the GPU is not to be used"
    if options.profile is not None:
        profile, why = options.profile, f"profile {options.profile}, as asked for"
    elif suits in _load(path, None, ()).profile:
        profile, why = suits, f"profile {suits}, because {reason}"
    else:
        profile, why = None, f"no profile, because the case has none called {suits}"
    case = _load(path, profile, options.sets)
    return Chosen(path.stem, path, path.read_text(encoding="utf-8"), case, profile, f"{path.stem}: {why}")


def _load(path: Path, profile: str | None, sets: tuple[str, ...]) -> Case:
    try:
        return load(path, profile, sets)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error
