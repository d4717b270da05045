"""What a Python file says, whatever its comments, docstrings and layout, and what it may import."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["Source", "read_source"]

_RUN_TEXT = ("__import__", "eval", "exec")
_IMPORT_BY_NAME = ("import_module", "exec_module", "load_module", "run_module", "run_path")


@dataclass(frozen=True)
class Source:
    """One file.

    Attributes:
        digest: of its syntax tree; the same in every version of Python that reads the file alike.
        imports: the dotted names that it may import, each a module or something in one; `a.b.*` for everything.
        opaque: whether it may import what they do not tell.
    """

    digest: str
    imports: frozenset[str]
    opaque: bool


@lru_cache(maxsize=1024)
def read_source(text: bytes, package: str) -> Source:
    """Read the text of a file that is in `package` (its own name, of an `__init__.py`). Nothing is imported.

    What stands under `if TYPE_CHECKING:` is not imported when the file runs.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return Source(hashlib.sha256(text).hexdigest(), frozenset(), True)
    imports, opaque = set(), False
    for node in _running(tree):
        if isinstance(node, ast.Import):
            imports |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            imports |= {f"{base}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and (called := _imports_by_name(node)) is not None:
            imports.add(called)
            opaque |= not called
    digest = hashlib.sha256(repr(_told(tree)).encode()).hexdigest()
    return Source(digest, frozenset(imports - {""}), opaque)


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below `node`, without what is for type checkers alone."""
    for child in ast.iter_child_nodes(node):
        yield child
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            for otherwise in child.orelse:
                yield otherwise
                yield from _running(otherwise)
        else:
            yield from _running(child)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parents = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*parents, *([node.module] if node.module else [])])


def _imports_by_name(call: ast.Call) -> str | None:
    """The module that a call imports by its name; empty where only running it tells, None where it imports none."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if isinstance(call.func, ast.Name) and name in _RUN_TEXT:
        return ""
    if name not in _IMPORT_BY_NAME:
        return None
    first = call.args[0] if len(call.args) == 1 and not call.keywords else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""


def _told(node: object) -> object:
    """The tree as tuples: no places, no docstrings, and no empty fields, of which each version of Python has others."""
    if isinstance(node, list):
        return [_told(one) for one in node]
    if isinstance(node, ast.Constant):
        return (type(node.value).__name__, repr(node.value))
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = []
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            value = value[1:] if ast.get_docstring(node, clean=False) is not None else value
        if isinstance(node, ast.JoinedStr):  # Python 3.12.1 ends some with an empty text
            value = [one for one in value if not (isinstance(one, ast.Constant) and one.value == "")]
        if value is not None and value != []:
            fields.append((name, _told(value)))
    return (type(node).__name__, fields)
