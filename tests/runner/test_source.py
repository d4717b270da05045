"""What a file says, and what it imports."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import gradbench
from gradbench.runner.source import read_source

_PLAIN = """
from a import b

class C:
    def f(self, x, *, y=1):
        return x + y * f"{x!r:>{y}} {y}"
"""
_SAME = '''"""A module."""
from a import b  # a comment


class C:
    """A class."""

    def f(
        self, x, *, y=1,
    ):
        """A method."""
        # Another comment.
        return (x + (y * f'{x!r:>{y}} {y}'))
'''


def digest(text: str) -> str:
    return read_source(text.encode(), "p").digest


def test_comments_layout_and_docstrings_say_nothing() -> None:
    assert digest(_PLAIN) == digest(_SAME)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x + y", "x - y"),
        ("y=1", "y=2"),
        ("y=1", "y=True"),
        ("y=1", "y=1.0"),
        ("*, y", "y"),
        ("class C", "class D"),
        ("from a", "from z"),
        ("!r", "!s"),
        (":>{y}", ":<{y}"),
        ("return", "yield"),
        ("(self, x", "(self, /, x"),
    ],
)
def test_anything_else_says_something(old: str, new: str) -> None:
    assert digest(_PLAIN) != digest(_PLAIN.replace(old, new, 1))


def test_a_string_that_is_no_docstring_says_something() -> None:
    assert digest("def f():\n    return 1\n") != digest("def f():\n    x = 'text'\n    return 1\n")
    assert digest("x = {**a, 'b': None}") != digest("x = {None: a, 'b': None}")
    assert digest("def f(x=None): ...") != digest("def f(x): ...")


@pytest.mark.parametrize(
    ("text", "imports"),
    [
        ("import a.b as c, d", {"a.b", "d"}),
        ("from a.b import c, d as e", {"a.b.c", "a.b.d"}),
        ("from a import *", {"a.*"}),
        ("from . import c", {"p.q.c"}),
        ("from .r import c", {"p.q.r.c"}),
        ("from ..r import c", {"p.r.c"}),
        ("def f():\n    if x:\n        from a import b", {"a.b"}),
        ("if TYPE_CHECKING:\n    from a import b\nelse:\n    from c import d", {"c.d"}),
        ("importlib.import_module('a.b')", {"a.b"}),
    ],
)
def test_what_a_file_imports(text: str, imports: set[str]) -> None:
    found = read_source(text.encode(), "p.q")
    assert found.imports == imports
    assert not found.opaque


@pytest.mark.parametrize(
    "text",
    [
        "importlib.import_module(name)",
        "import_module('.b', package)",
        "__import__('a')",
        "exec(text)",
        "def f():\n    return eval('b')",
        "no python at all",
    ],
)
def test_what_cannot_be_told_is_opaque(text: str) -> None:
    assert read_source(text.encode(), "p").opaque


def test_a_method_of_such_a_name_is_not() -> None:
    assert not read_source(b"model.eval()\nregex.exec(x)", "p").opaque


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_every_python_reads_the_source_alike(version: str) -> None:
    """Where another Python is installed, as `pyenv` has them."""
    pythons = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    if not pythons:
        pytest.skip(f"no Python {version}")
    root = Path(gradbench.__file__).parent
    files = [path for part in ("invertible", "measure", "strategies") for path in sorted((root / part).rglob("*.py"))]
    texts = [path.read_bytes() for path in files] + [_PLAIN.encode()]
    code = (
        "import sys, ast\n"
        f"sys.path.insert(0, {str(root / 'runner')!r})\n"
        "from source import read_source\n"
        "for text in ast.literal_eval(sys.stdin.read()):\n"
        "    print(read_source(text, 'gradbench').digest)\n"
    )
    told = subprocess.run([pythons[0], "-c", code], input=repr(texts), capture_output=True, text=True, check=True)
    same = [read_source(text, "gradbench").digest for text in texts]
    assert told.stdout.split() == same
