"""Write the parts of the documents that the code already says: `python docs/generate.py`.

What stands between `<!-- generated: NAME -->` and `<!-- end -->` is replaced; a test holds that nothing would change.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from gradbench.data import DATASETS
from gradbench.models import MODELS
from gradbench.registry import Registry
from gradbench.results import TABLES, Column
from gradbench.strategies import STRATEGIES

ROOT = Path(__file__).parents[1]
DOCUMENTS = (ROOT / "README.md", ROOT / "docs/results.md")


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines)


def _names(registry: Registry) -> str:
    rows = []
    for name, entry in registry.items():
        spelled = f"`{name}:K`, K = {', '.join(map(str, entry.allowed))}" if entry.argument else f"`{name}`"
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


GENERATED: dict[str, Callable[[], str]] = {
    "strategies": lambda: _names(STRATEGIES),
    "models": lambda: _names(MODELS),
    "data sets": lambda: _names(DATASETS),
    "tables": _tables,
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
