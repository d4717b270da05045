"""Read a case file, with a profile and with settings from the command line; report every mistake at once."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradbench.case.contradictions import check_settings
from gradbench.case.find import find
from gradbench.case.keys import flatten, nest
from gradbench.case.layers import MATRIX, Changes, Layer, matrix_of, read_layer, stack
from gradbench.case.matches import check_answer, check_claims, check_conditions, check_references
from gradbench.case.mistakes import PROFILE, SET, Mistake, lines, listed, syntax_mistake, toml
from gradbench.case.plan import Conditions, plan
from gradbench.case.schema import Case, Claim, Exclude, Override, Reference, Settings
from gradbench.errors import CaseError, did_you_mean

__all__ = ["find", "load", "load_profiles", "settings_of"]


def load(path: Path, profile: str | None = None, sets: Sequence[str] = ()) -> Case:
    """Return the case in `path`: its own sections, then those of `profile`, then every `key=value` of `sets`.

    All profiles are checked, whichever is chosen.

    Raises:
        CaseError: mistakes, one line each.
        OSError: the file cannot be read.
    """
    file, mistakes = _read(path)
    changes, wrong_sets = _read_sets(sets)
    mistakes += wrong_sets
    chosen = [file.own, changes]
    if profile is not None and profile in file.profiles:
        chosen.insert(1, file.profiles[profile])
    elif profile is not None:
        known = f"allowed are {listed(file.profiles)}{did_you_mean(profile, file.profiles)}"
        mistakes.append(Mistake((PROFILE,), f"{path.stem} has no profile {toml(profile)}: {known}"))
    if changes.entries:
        mistakes += check_settings(chosen, file.conditions)
    if mistakes:
        raise CaseError(lines(mistakes, str(path), file.text))
    return _build(file, chosen)


def load_profiles(path: Path) -> dict[str, Case]:
    """Return the case in `path` with each of its profiles, by their names; it is read once.

    Raises:
        CaseError: mistakes, one line each.
        OSError: the file cannot be read.
    """
    file, mistakes = _read(path)
    if mistakes:
        raise CaseError(lines(mistakes, str(path), file.text))
    return {name: _build(file, [file.own, layer]) for name, layer in file.profiles.items()}


def settings_of(sets: Sequence[str]) -> Settings:
    """Return what every `key=value` of `sets` gives; of two for the same key the later wins.

    Raises:
        CaseError: mistakes, one line each.
    """
    layer, mistakes = _read_sets(sets, Settings)
    if mistakes:
        raise CaseError(lines(mistakes, "", ""))
    return Settings.model_validate(nest(layer.entries))


_Pairs = list[tuple[str, Any]]


@dataclass(frozen=True)
class _File:
    """The valid parts of a file; overrides, exclusions, claims and references by their position.

    `doubtful` are the keys that overrides with a mistake would have set.
    """

    text: str
    own: Layer
    profiles: Mapping[str, Layer]
    overrides: Mapping[int, tuple[Override, Layer]]
    excludes: Mapping[int, Exclude]
    claims: Mapping[int, Claim]
    references: Mapping[int, Reference]
    doubtful: frozenset[str]

    @property
    def conditions(self) -> Conditions:
        """What it says of some points only."""
        return Conditions(list(self.overrides.values()), list(self.excludes.values()))


def _read(path: Path) -> tuple[_File, list[Mistake]]:
    """Check every part by itself, then all together."""
    try:
        text = path.read_text(encoding="utf-8")
        own_pairs, profile_pairs, mistakes = _split(tomllib.loads(text))
    except UnicodeDecodeError as error:
        raise CaseError([f"{path}: not valid TOML: byte {error.start + 1} is not UTF-8"]) from error
    except tomllib.TOMLDecodeError as error:
        raise CaseError([syntax_mistake(str(path), error)]) from error
    own, found = read_layer(own_pairs, (), Case)
    mistakes += found
    profiles = {}
    for name, pairs in profile_pairs.items():
        profiles[name], found = read_layer(pairs, ("profile", name), Changes)
        mistakes += found
    overrides = {}
    for index, table in _sound("override", own_pairs, mistakes).items():
        layer, found = read_layer(list(flatten(table["set"])), ("override", index, "set"), Settings)
        mistakes += found
        overrides[index] = Override.model_validate(table), layer
    excludes = {index: Exclude.model_validate(table) for index, table in _sound("exclude", own_pairs, mistakes).items()}
    claims = {index: Claim.model_validate(table) for index, table in _sound("claim", own_pairs, mistakes).items()}
    references = {
        index: Reference.model_validate(table) for index, table in _sound("reference", own_pairs, mistakes).items()
    }
    doubtful = frozenset(
        key
        for index, table in _tables("override", own_pairs).items()
        if index not in overrides and isinstance(table.get("set"), Mapping)
        for key in table["set"]
    )
    file = _File(text, own, profiles, overrides, excludes, claims, references, doubtful)
    return file, [*mistakes, *_check(file)]


def _split(document: dict[str, Any]) -> tuple[_Pairs, dict[str, _Pairs], list[Mistake]]:
    """Take the profiles out of a file, and give the conditions in its lists of tables dotted keys."""
    own: _Pairs = []
    profiles: dict[str, _Pairs] = {}
    mistakes = []
    for key, value in flatten(document):
        match key.split(".", 2):
            case ["profile", name, entry]:
                profiles.setdefault(name, []).append((entry, value))
            case ["profile", name] if value == {}:
                profiles.setdefault(name, [])
            case ["profile", *_]:
                if value != {}:
                    mistakes.append(Mistake(tuple(key.split(".")), f"must be a table, got {toml(value)}"))
            case _:
                conditional = key in ("override", "exclude", "claim", "reference")
                own.append((key, _with_dotted_conditions(value) if conditional else value))
    return own, profiles, mistakes


def _with_dotted_conditions(value: Any) -> Any:
    """Flatten every `when`, `set` and `where` inside a list of tables."""
    if isinstance(value, list):
        return [_with_dotted_conditions(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {
        key: dict(flatten(inner))
        if key in ("when", "set", "where") and isinstance(inner, Mapping)
        else _with_dotted_conditions(inner)
        for key, inner in value.items()
    }


def _sound(name: str, pairs: _Pairs, mistakes: Sequence[Mistake]) -> dict[int, dict[str, Any]]:
    """The tables of the list `name` in which no mistake was found, by their position."""
    broken = {mistake.place[:2] for mistake in mistakes}
    if (name,) in broken:
        return {}
    return {index: table for index, table in _tables(name, pairs).items() if (name, index) not in broken}


def _tables(name: str, pairs: _Pairs) -> dict[int, dict[str, Any]]:
    """The tables of the list `name` by their position."""
    items = dict(pairs).get(name)
    return {
        index: item for index, item in enumerate(items if isinstance(items, list) else []) if isinstance(item, dict)
    }


def _read_sets(sets: Sequence[str], model: type[Settings] = Changes) -> tuple[Layer, list[Mistake]]:
    """Check `key=value` arguments; of two for the same key the later wins."""
    mistakes = []
    values: dict[str, Any] = {}
    for argument in sets:
        key, equals, value = argument.partition("=")
        if equals and key.strip():
            values[key.strip()] = _value(value.strip())
        else:
            mistakes.append(Mistake((SET,), f"must be key=value, got {toml(argument)}"))
    layer, found = read_layer(list(values.items()), (SET,), model)
    return layer, mistakes + found


def _value(text: str) -> Any:
    """Return `text` read as a TOML value, or as it is where it is none."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _check(file: _File) -> list[Mistake]:
    """Check the parts together: the file by itself and with each of its profiles."""
    layers = [file.own, *file.profiles.values(), *(layer for _, layer in file.overrides.values())]
    faulty = file.doubtful.union(*(layer.faulty for layer in layers))
    variants = [[file.own], *([file.own, profile] for profile in file.profiles.values() if profile.entries)]
    mistakes = [mistake for variant in variants for mistake in check_settings(variant, file.conditions)]
    whole = [one for variant in variants for one in plan(variant, Conditions([], []))]
    mistakes += check_conditions("exclude", file.excludes, whole, faulty)
    names = ["", *(name for name, profile in file.profiles.items() if profile.entries)]
    profiles = {name: list(plan(variant, file.conditions)) for name, variant in zip(names, variants, strict=True)}
    plans = [one for plans in profiles.values() for one in plans]
    mistakes += check_answer(file.own.entries.get("answer", ()), file.claims, faulty)
    if plans:
        overrides = {index: override for index, (override, _) in file.overrides.items()}
        mistakes += check_conditions("override", overrides, plans, faulty)
        mistakes += check_claims(file.claims, profiles, faulty)
        mistakes += check_references(file.references, plans, faulty)
    return mistakes


def _build(file: _File, layers: Sequence[Layer]) -> Case:
    given = {key: one.value for key, one in stack(layers).items()}
    parts = nest({key: value for key, value in given.items() if key != "matrix" and not key.startswith(MATRIX)})
    profiles = {name: dict(layer.entries) for name, layer in file.profiles.items()}
    return Case.model_validate({**parts, "matrix": matrix_of(stack(layers)), "profile": profiles})
