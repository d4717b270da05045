"""What counts as source that decides a cell's numbers."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

import gradbench
from gradbench.case import find
from gradbench.case.expand import expand
from gradbench.case.load import load
from gradbench.case.schema import Settings
from gradbench.registry import Entry
from gradbench.runner.fingerprint import Sources
from gradbench.runner.plan import strategies
from gradbench.strategies import STRATEGIES


def settings(*measured: str, model: str = "hybrid", data: str = "digits", trained: tuple[str, ...] = ()) -> Settings:
    return Settings.model_validate(
        {
            "model": {"name": model},
            "data": {"name": data},
            "measure": {"strategies": list(measured)},
            "train": {"strategies": list(trained) or "none"},
        }
    )


REBUILT = settings("reconstruct")


def fingerprint(one: Settings = REBUILT) -> str:
    return Sources().of(one)


@pytest.fixture
def run_in_process() -> Callable[[str], str]:
    """Run a program by itself, and return what it prints."""

    def run(program: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(Path(gradbench.__file__).parents[1])}
        command = [sys.executable, "-c", program]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout

    return run


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of gradbench's source, which a test may change; what runs is the original."""
    own = Path(gradbench.__file__).parent
    copy = tmp_path / "gradbench"
    for path in own.rglob("*.py"):
        target = copy / path.relative_to(own)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    before = fingerprint()
    monkeypatch.setattr(gradbench, "__file__", str(copy / "__init__.py"))
    assert fingerprint() == before
    return copy


def changes(file: Path, *others: Settings) -> list[bool]:
    """Whether a statement more in the file changes the fingerprint of each of the settings."""
    before = [fingerprint(one) for one in others]
    with file.open("a") as changed:
        changed.write("\nplanted = 1\n")
    return [fingerprint(one) != old for one, old in zip(others, before, strict=True)]


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("invertible/chain.py", True),
        ("strategies/reconstruct.py", True),
        ("strategies/stored.py", True),
        ("strategies/base.py", True),
        ("strategies/approximate.py", False),
        ("strategies/checkpoint.py", False),
        ("strategies/__init__.py", False),
        ("models/hybrid.py", True),
        ("models/stages.py", True),
        ("models/resnet.py", False),
        ("data/digits.py", True),
        ("data/batches.py", True),
        ("data/npz.py", False),
        ("measure/findings.py", True),
        ("measure/live_storages.py", True),
        ("measure/explain.py", False),
        ("measure/fake.py", True),
        ("results.py", True),
        ("registry.py", True),
        ("runner/run.py", False),
        ("report/build.py", False),
    ],
)
def test_what_counts_for_a_reconstruction_of_the_hybrid_network(file: str, counts: bool, package: Path) -> None:
    assert changes(package / file, REBUILT) == [counts]


def test_a_strategy_counts_where_it_is_measured_or_trained(package: Path) -> None:
    cells = (settings("approximate:4"), settings(trained=("approximate:4",)), settings("naive-quantize:4"), REBUILT)
    assert changes(package / "strategies" / "approximate.py", *cells) == [True, True, False, False]
    assert changes(package / "strategies" / "quantizer.py", *cells) == [True, True, True, False]


def test_models_and_data_count_where_they_are_named(package: Path) -> None:
    cells = (settings(model="resnet"), settings(data="npz"), REBUILT)
    assert changes(package / "models" / "resnet.py", *cells) == [True, False, False]
    assert changes(package / "data" / "npz.py", *cells) == [False, True, False]


def test_a_comment_a_docstring_and_layout_do_not_count(package: Path) -> None:
    before = fingerprint()
    file = package / "invertible" / "chain.py"
    text = file.read_text()
    docstring = ast.get_docstring(ast.parse(text), clean=False)
    assert docstring
    file.write_text("# A comment.\n\n\n" + text.replace(docstring, "Another sentence.").replace("\n\n\n", "\n\n\n\n"))
    assert fingerprint() == before


def test_a_new_strategy_changes_no_other_cell(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint()
    (package / "strategies" / "new.py").write_text("class New: ...\n")
    table = package / "strategies" / "__init__.py"
    table.write_text(
        table.read_text().replace(
            '"stored": Entry', '"new": Entry("gradbench.strategies.new:New", ""), "stored": Entry'
        )
    )
    monkeypatch.setitem(STRATEGIES._entries, "new", Entry("gradbench.strategies.new:New", "new"))
    assert fingerprint() == before
    new = settings("new")
    assert fingerprint(new) != before
    assert changes(package / "strategies" / "new.py", new, REBUILT) == [True, False]


def test_another_target_behind_the_same_name_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint()
    monkeypatch.setitem(STRATEGIES._entries, "reconstruct", Entry("gradbench.strategies.reconstruct:Other", ""))
    assert fingerprint() != before


def test_the_version_of_the_package_that_a_strategy_runs_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    cells, found = (settings("memcnn"), settings("revtorch"), REBUILT), []
    for installed in ({}, {"memcnn": "1.5.2"}, {"memcnn": "1.6"}):

        def version(name: str, installed: dict[str, str] = installed) -> str:
            if name not in installed:
                raise PackageNotFoundError(name)
            return installed[name]

        monkeypatch.setattr("gradbench.runner.fingerprint.version", version)
        found.append([fingerprint(one) for one in cells])
    assert [len(set(column)) for column in zip(*found, strict=True)] == [3, 1, 1]


@pytest.mark.parametrize(
    "text",
    [
        "import importlib\nimportlib.import_module(__name__.replace('reconstruct', 'approximate'))\n",
        "from gradbench.strategies import STRATEGIES\n",
    ],
)
def test_where_imports_cannot_be_told_everything_counts(text: str, package: Path) -> None:
    assert changes(package / "strategies" / "approximate.py", REBUILT) == [False]
    with (package / "strategies" / "reconstruct.py").open("a") as file:
        file.write(f"\n{text}")
    assert changes(package / "strategies" / "approximate.py", REBUILT) == [True]
    assert changes(package / "runner" / "run.py", REBUILT) == [True]


def test_a_new_import_is_followed(package: Path) -> None:
    with (package / "strategies" / "reconstruct.py").open("a") as file:
        file.write("\ndef f():\n    from gradbench.strategies import quantizer\n")
    cells = (REBUILT, settings(), settings("checkpoint"))
    assert changes(package / "strategies" / "quantizer.py", *cells) == [True, False, False]


def test_of_every_shipped_case_it_is_known_what_counts() -> None:
    sources = Sources()
    for name, path in find.shipped().items():
        named = {(one.settings.model.name, strategies(one.settings)): one.settings for one in expand(load(path), name)}
        for one in named.values():
            modules = sources.modules(one)
            assert "gradbench.measure.cell" in modules
            assert not [module for module in modules if module.startswith(("gradbench.report", "gradbench.runner"))]


def test_a_package_that_adds_a_strategy_counts_where_it_is_named_and_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: Path
) -> None:
    foreign = tmp_path / "someones_strategies"
    foreign.mkdir()
    (foreign / "__init__.py").write_text("raise RuntimeError('imported')")
    (foreign / "mine.py").write_text("from gradbench.strategies.quantizer import encode\nfrom . import base")
    (foreign / "base.py").write_text("class Mine: ...")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(STRATEGIES._entries, "mine", Entry("someones_strategies.mine:Mine", "mine"))
    mine = settings("mine")
    assert changes(foreign / "base.py", mine, REBUILT) == [True, False]
    assert changes(package / "strategies" / "quantizer.py", mine, REBUILT) == [True, False]
    assert "someones_strategies" not in sys.modules


def test_what_is_imported_when_a_cell_runs_is_among_what_counts(run_in_process: Callable[[str], str]) -> None:
    """Against the truth: the modules of gradbench that a process has after a cell was measured in it."""
    program = (
        "import sys\n"
        "from contextlib import nullcontext\n"
        "from gradbench.case.expand import Cell\n"
        "from gradbench.case.schema import Settings\n"
        "from gradbench.measure.cell import run_cell\n"
        "gate = type('Gate', (), dict(shared=nullcontext, exclusive=nullcontext, give_way=lambda *_: None))\n"
        "settings = Settings.model_validate({'model': {'name': 'resnet', 'depth': 1, 'width': 4, 'pooling': ['max']},\n"
        "    'train': {'steps': 0, 'strategies': 'none'}, 'data': {'image_size': 8, 'batch_size': 4},\n"
        "    'measure': {'at': [0], 'strategies': ['approximate:4', 'checkpoint'], 'sgd_batches': 2}})\n"
        "run_cell(Cell('0', 'case', {}, 0, settings), None, 'cpu', gate, lambda text: None)\n"
        "print(settings.model_dump_json())\n"
        "print(*(name for name in sys.modules if name.startswith('gradbench')))\n"
    )
    said, imported = run_in_process(program).splitlines()
    one = Settings.model_validate_json(said)
    names = {"gradbench", "gradbench.strategies", "gradbench.models", "gradbench.data", "gradbench.faulty"}
    ran = {name for name in imported.split() if not f"{name}.".startswith("gradbench.case.")} - names
    counts = set(Sources().modules(one))
    assert "gradbench.strategies.quantizer" in ran
    assert ran <= counts | {"gradbench.data.published"}
