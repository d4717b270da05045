"""The picture in docs/architecture.md is true: each part imports only parts below it, and torch only where it may."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "gradbench"
ROWS = re.findall(r"^(\w+)(?:/|\.py) +.*-> +(.*)$", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE)
PARTS = [part for part, _ in ROWS]
WITHOUT_TORCH = [part for part, may_import in ROWS if "never torch" in may_import]


def imported(part: str) -> Iterator[str]:
    """Yield the module of every import in the part's files; tables of names (`STRATEGIES`) belong to the registry."""
    for file in [*PACKAGE.glob(f"{part}/**/*.py"), *PACKAGE.glob(f"{part}.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not all(alias.name.isupper() for alias in node.names):
                yield f"{node.module}.{node.names[0].name}" if node.module == "gradbench" else str(node.module)


def test_the_picture_names_every_part() -> None:
    here = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert here - {"__init__", "__main__"} == set(PARTS)


@pytest.mark.parametrize("part", PARTS)
def test_arrows_point_down(part: str) -> None:
    below = {"torch", *PARTS[PARTS.index(part) :]} - ({"torch"} if part in WITHOUT_TORCH else set())
    names = {re.sub(r"^gradbench\.", "", name).partition(".")[0] for name in imported(part)}
    assert names & {"torch", "torchvision", *PARTS} <= below


@pytest.mark.parametrize("part", WITHOUT_TORCH)
def test_torch_is_not_imported_behind_its_back(part: str) -> None:
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in PACKAGE.glob(f"{part}/**/*.py")]
    code = f"import importlib, sys; [importlib.import_module(m) for m in {modules}]; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0
