"""Write the parts of the documents that the code already says: `python docs/generate.py`.

What stands between `<!-- generated: NAME -->` and `<!-- end -->` is replaced; a test holds that nothing would change.
"""

from __future__ import annotations

import ast
import csv
import html
import inspect
import json
import math
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

from gradbench.analysis.claims import HELD, NOT_HELD, NOT_MEASURED, UNDECIDED
from gradbench.analysis.settings import by_setting
from gradbench.analysis.tables import read_run
from gradbench.analysis.units import PLAIN, unit_of
from gradbench.case import schema
from gradbench.case.load import load
from gradbench.cli.main import cli
from gradbench.data import DATASETS
from gradbench.errors import EXIT_CODES
from gradbench.models import MODELS
from gradbench.registry import Registry
from gradbench.report.rows import ClaimRow, claim_rows
from gradbench.report.words import accuracy, number
from gradbench.results import TABLES, Column
from gradbench.shell import command_line
from gradbench.strategies import STRATEGIES

ROOT = Path(__file__).parents[1]
DOCUMENTS = tuple(
    path
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
    if "<!-- generated: " in path.read_text(encoding="utf-8")
)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines)


def _code(text: str) -> str:
    """`text` as code that may hold a pipe, which ends a cell of a table between backticks."""
    return f"<code>{html.escape(text)}</code>" if "|" in text else f"`{text}`"


def _plain(text: str) -> str:
    """`text` with what Markdown or HTML would read as its own made harmless."""
    return re.sub(r"([\\`*_\[\]])", r"\\\1", html.escape(text, quote=False))


def _names(registry: Registry) -> str:
    rows = []
    for name, entry in registry.items():
        choices = f", K = {', '.join(map(str, entry.choices))}" if entry.argument else ""
        spelled = f"`{entry.spelled(name)}`{choices}"
        rows.append([spelled, entry.summary, entry.source])
    head = [registry.kind, "what it is", "source"]
    if not any(source for *_, source in rows):
        head, rows = head[:2], [row[:2] for row in rows]
    return _table(head, rows)


def _columns(columns: tuple[Column, ...]) -> str:
    return _table(
        ["column", "type", "unit", "better", "firm", "meaning"],
        [
            [
                f"`{column.name}`",
                column.dtype,
                column.unit,
                column.direction.removesuffix(" is better"),
                "yes" if column.firm else "no, advisory",
                column.meaning,
            ]
            for column in columns
        ],
    )


def _tables() -> str:
    sections = []
    for table in TABLES.values():
        key = ", ".join(f"`{column}`" for column in table.key)
        sections.append(f"### {table.file}\n\nOne row is {table.row}; key: {key}.\n\n{_columns(table.columns)}")
    return "\n".join(sections)


def _exit_codes() -> str:
    return _table(["code", "meaning"], [[str(code), meaning] for code, meaning in EXIT_CODES.items()])


def _verb_context(command: click.Command, name: str, parent: click.Context | None = None) -> click.Context:
    return click.Context(command, parent, name, terminal_width=84, **(command.context_settings if not parent else {}))


def _help() -> str:
    return f"```text\n{cli.get_help(_verb_context(cli, 'gradbench'))}\n```\n"


def _verbs() -> str:
    return "\n".join(_verb(command, ctx) for command, ctx in verbs(cli, _verb_context(cli, "gradbench")))


def verbs(group: click.Group, ctx: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """Yield every verb and every verb of a verb, with its context."""
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None, name
        inner = _verb_context(command, name, ctx)
        yield command, inner
        if isinstance(command, click.Group):
            yield from verbs(command, inner)


def _verb(command: click.Command, ctx: click.Context) -> str:
    usage = " ".join(command.get_usage(ctx).removeprefix("Usage: ").split())
    options = [param for param in command.get_params(ctx) if isinstance(param, click.Option)]
    records = [record for option in options if (record := option.get_help_record(ctx))]
    rows = [[_code(spelled), meaning.replace("  [", " [")] for spelled, meaning in records]
    text = inspect.cleandoc(command.help or "").replace("\b\n", "")
    level = "#" * len(ctx.command_path.split())
    return (
        f"{level} {ctx.command_path}\n\n```text\n{usage}\n```\n\n{text}\n\n{_table(['option', 'what it does'], rows)}"
    )


_BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "multipleOf": "a multiple of {}",
}
_TYPES = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "a string",
    "object": "a table",
}


def _allowed(kind: dict[str, Any]) -> str:
    """What a key may hold, in words, from its JSON schema."""
    if "$ref" in kind:
        name = kind["$ref"].rpartition("/")[2].lower()
        return "[a quantity](#a-quantity)" if name == "quantity" else f"`[[{name}]]`"
    if "enum" in kind or "const" in kind:
        return " or ".join(f"`{json.dumps(value)}`" for value in kind.get("enum", [kind.get("const")]))
    if "anyOf" in kind:
        branches = [branch for branch in kind["anyOf"] if branch != {"type": "null"}]
        if {branch.get("type") for branch in branches} >= {"string", "integer", "number", "boolean"}:
            return "a value, or a list of values"
        return " or ".join(_allowed(branch) for branch in branches)
    if "prefixItems" in kind:
        return f"[{', '.join(map(_allowed, kind['prefixItems']))}]"
    if kind["type"] == "array":
        return _allowed(kind["items"]) if "$ref" in kind["items"] else f"a list, each {_allowed(kind['items'])}"
    bounds = [text.format(f"{kind[key]:g}") for key, text in _BOUNDS.items() if key in kind]
    return ", ".join([_TYPES[kind["type"]], *bounds])


def _meanings() -> dict[tuple[str, str], str]:
    """The docstring below each key of the case file's schema, by section and attribute."""
    tree = ast.parse(inspect.getsource(schema))
    return {
        (section.name, key.target.id): " ".join(ast.literal_eval(text.value).split())
        for section in tree.body
        if isinstance(section, ast.ClassDef)
        for key, text in zip(section.body, section.body[1:], strict=False)
        if isinstance(key, ast.AnnAssign) and isinstance(key.target, ast.Name) and isinstance(text, ast.Expr)
    }


def _keys(section: type[BaseModel]) -> str:
    json_schema = section.model_json_schema()
    meanings = _meanings()
    rows = []
    for name, field in section.model_fields.items():
        key = field.alias or name
        kind = json_schema["properties"][key]
        if name in schema.Settings.model_fields:
            continue
        # Without one in the JSON schema, what the section names decides it.
        owner = {schema.Model: "model", schema.Data: "data set"}.get(section)
        default = f"`{json.dumps(kind['default'])}`" if "default" in kind else f"the {owner}'s own"
        default = "required" if field.is_required() else default
        default = "" if default == "`null`" else default
        rows.append([f"`{key}`", _allowed(kind), default, meanings[section.__name__, name]])
    return _table(["key", "allowed", "default", "meaning"], rows)


def _sections() -> Iterator[tuple[str, type[BaseModel]]]:
    """The parts of a case file with their titles, in the order of its schema."""
    yield "At the top", schema.Case
    for name, field in schema.Settings.model_fields.items():
        assert isinstance(field.annotation, type), name
        yield f"`[{name}]`", field.annotation
    for name, kind in schema.Case.model_json_schema()["properties"].items():
        if "$ref" in kind.get("items", {}):
            yield f"`[[{name}]]`", getattr(schema, kind["items"]["$ref"].rpartition("/")[2])
    yield "A quantity", schema.Quantity


def _case() -> str:
    return "\n".join(f"### {title}\n\n{_keys(section)}" for title, section in _sections())


@dataclass(frozen=True)
class Reproduction:
    """A shipped case and its reference run, if there is one.

    Attributes:
        name: of the case.
        case: as it is now.
        manifest: the run's; empty without one.
        claims: those of the run as it has them, then those that the case has and the run has not.
    """

    name: str
    case: schema.Case
    manifest: dict[str, Any]
    claims: list[ClaimRow]

    @property
    def folder(self) -> str:
        """The run's folder."""
        return f"reports/reference/{self.name}"

    @property
    def command(self) -> str:
        """What measures it."""
        words = shlex.split(self.manifest.get("command") or f"gradbench run --case {self.name} --profile full")
        if "--device" in words:  # says where it ran; the profile full takes the GPU by itself
            place = words.index("--device")
            del words[place : place + 2]
        return command_line(words)

    @property
    def where(self) -> str:
        """On what it ran, and how much of it."""
        cells = self.manifest["cells_by_status"]
        finished, all_of_them = (sum(cells.values()) - cells.get("missing", 0)), sum(cells.values())
        around = self.manifest["environment"]
        day = self.manifest["finished"][:10]
        return f"{around['device_name']}, torch {around['torch']}, {finished} of {all_of_them} cells, {day}"


def _reproductions() -> Iterator[Reproduction]:
    for path in sorted(ROOT.glob("cases/*.toml")):
        case, run = load(path), ROOT / "reports/reference" / path.stem
        found: list[dict[str, Any]] = []
        manifest = {}
        if (run / "manifest.json").exists():
            manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
            found = _claims_of(run)
        known = {row["claim"] for row in found}
        later: list[dict[str, Any]] = [
            {
                **dict.fromkeys(("value", "low", "high"), math.nan),
                **{"claim": claim.name, "says": claim.says, "source": claim.source, "test": claim.test},
                **{"status": NOT_MEASURED, "reason": "newer than the run" if manifest else "", "seeds": 0},
            }
            for claim in case.claim
            if claim.name not in known
        ]
        asked = [*(claim.model_dump() for claim in case.claim), *manifest.get("settings", {}).get("claim", [])]
        units = {claim["name"]: unit_of(claim) for claim in asked}
        rows = [row | {"unit": units.get(row["claim"], PLAIN)} for row in (*found, *later)]
        yield Reproduction(path.stem, case, manifest, claim_rows(rows))


def _claims_of(run: Path) -> list[dict[str, Any]]:
    with (run / "claims.csv").open(encoding="utf-8", newline="") as file:
        return [
            {**row, **{name: float(row[name] or "nan") for name in ("value", "low", "high", "seeds")}}
            for row in csv.DictReader(file)
        ]


def _reproduction() -> str:
    """Every claim of every case with the source's number, ours and the verdict."""
    sections = []
    for one in _reproductions():
        rows = [
            [
                f"{claim.symbol} {claim.status}",
                f"{claim.says}{f' ({claim.reason})' if claim.reason else ''}",
                f"{claim.value} ({claim.spread})" if claim.spread else claim.value,
                claim.test,
                claim.source,
            ]
            for claim in one.claims
        ]
        table = _table(["verdict", "claim", "ours", "test", "source"], [list(map(_plain, row)) for row in rows])
        source = f" {one.case.source}." if one.case.source else ""
        ran = f"[Its run](../{one.folder}/README.md): {one.where}." if one.manifest else "Not measured yet:"
        head = f"### {one.name}\n\n{one.case.title}.{source} {ran}\n\n```sh\n{one.command}\n```\n\n"
        sections.append(f"{head}{table}{_figures(one.folder)}")
    return "\n".join(sections)


def _figures(folder: str) -> str:
    """The figures that the text of a run shows, with the sentence before them, as a document shows them."""
    path = ROOT / folder / "README.md"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    found = re.search(r"\n\n([^\n]+(?:\n[^\n]+)*:)\n\n((?:!\[.*\]\(figures/.*\)\n)+)", text)
    return "\n" + found[0].strip().replace("](figures/", f"](../{folder}/figures/") + "\n" if found else ""


def _reproduction_in_short() -> str:
    """A line a case: how many of its claims are held."""
    rows = []
    for one in _reproductions():
        statuses = [claim.status for claim in one.claims]
        counts = [str(statuses.count(status) or "") for status in (HELD, NOT_HELD, UNDECIDED, NOT_MEASURED)]
        gpu = one.manifest["environment"]["device_name"] if one.manifest else ""
        rows.append([f"[`{one.name}`](docs/reproduction.md#{one.name})", one.case.title, *counts, gpu])
    return _table(["case", "what it measures", HELD, NOT_HELD, UNDECIDED, NOT_MEASURED, "on"], rows)


def _kept_and_erred() -> str:
    """What each strategy keeps of an ordinary network's activations, and how far its gradients are off."""
    run = read_run(ROOT / "reports/reference/strategy-shootout")
    settings = by_setting(run.tables["cells"], run.axes).to_dict("records")
    (stored,) = [row["saved_bytes"] for row in settings if row["strategy"] == "stored"]
    rows = [
        [
            f"`{row['strategy']}`",
            f"{100 * row['saved_bytes'] / stored:.1f} %",
            row["verdict"] if "," not in row["verdicts"] else row["verdicts"],
            number(row["noise_ratio"]),
            number(row["worst_noise_ratio"]),
            accuracy(row["accuracy"], row["accuracy_sd"]),
        ]
        for row in settings
    ]
    return _table(["strategy", "keeps", "verdict", "noise ratio, median", "worst layer", "accuracy"], rows)


GENERATED: dict[str, Callable[[], str]] = {
    "strategies": lambda: _names(STRATEGIES),
    "kept and erred": _kept_and_erred,
    "models": lambda: _names(MODELS),
    "data sets": lambda: _names(DATASETS),
    "tables": _tables,
    "exit codes": _exit_codes,
    "case keys": _case,
    "help": _help,
    "verbs": _verbs,
    "reproduction": _reproduction,
    "reproduction in short": _reproduction_in_short,
}


def generated(text: str) -> str:
    """Return `text` with every generated part as the code says it now.

    Raises:
        KeyError: a part has a name that is not in `GENERATED`.
    """
    return re.sub(
        r"(<!-- generated: (.*?) -->\n).*?(<!-- end -->)",
        lambda found: f"{found[1]}\n{GENERATED[found[2]]()}\n{found[3]}",
        text,
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    for document in DOCUMENTS:
        document.write_text(generated(document.read_text(encoding="utf-8")), encoding="utf-8")
