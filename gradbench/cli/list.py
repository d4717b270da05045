"""`gradbench list`: the names that a case or a command line can use."""

from __future__ import annotations

import json

import click

from gradbench.cli.tables import print_table

__all__ = ["command"]

Row = dict[str, str | list[str] | list[int | str]]


@click.command(short_help="List names.")
@click.argument("what", type=click.Choice(["cases", "strategies", "models", "data"]), default="cases")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list, one object an entry.")
def command(what: str, as_json: bool) -> None:
    """List the shipped cases, or the strategies, models or data sets that a case can name."""
    rows = _cases() if what == "cases" else _entries(what)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    headers = [header for header in rows[0] if any(row[header] for row in rows)] if rows else []
    print_table(
        headers, [[_text(row[header]) for header in headers] for row in rows], prose=["title", "K", "summary", "source"]
    )


def _cases() -> list[Row]:
    """Read the shipped files without checking them, which is for `validate`."""
    import tomllib

    from gradbench.case.find import shipped

    rows: list[Row] = []
    for name, path in shipped().items():
        case = tomllib.loads(path.read_text(encoding="utf-8"))
        profiles, tags = list(case.get("profile", {})), case.get("tags", [])
        rows.append({"name": name, "title": case["title"], "profiles": profiles, "tags": tags})
    return rows


def _entries(what: str) -> list[Row]:
    from gradbench.data import DATASETS
    from gradbench.models import MODELS
    from gradbench.strategies import STRATEGIES

    rows: list[Row] = []
    for name, entry in {"strategies": STRATEGIES, "models": MODELS, "data": DATASETS}[what].items():
        about = {"summary": entry.summary, "source": entry.source}
        rows.append({"name": entry.spelled(name), "K": list(entry.choices), **about})
    return rows


def _text(value: str | list[str] | list[int | str]) -> str:
    return value if isinstance(value, str) else ", ".join(map(str, value))
