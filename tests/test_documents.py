"""The documents say what the code says: generated parts, names, links, code, case files and command lines."""

from __future__ import annotations

import csv
import html
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import click
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from gradbench.analysis.claims import evaluate
from gradbench.analysis.tables import read_run
from gradbench.case.expand import expand
from gradbench.case.load import load, load_profiles
from gradbench.cli.main import cli
from gradbench.errors import EXIT, EXIT_CODES
from gradbench.measure.cell import run_cell
from gradbench.results import CELL_STATUSES, VERDICTS
from gradbench.strategies import STRATEGIES
from tests.open_gate import GATE

ROOT = Path(__file__).parents[1]
GENERATE = runpy.run_path(str(ROOT / "docs/generate.py"))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


class Block(NamedTuple):
    """A fenced block: its language, its title (the file that it shows) and its text."""

    language: str
    title: str
    text: str


def blocks(document: Path, language: str) -> list[Block]:
    fences = re.findall(r'^```(\w+)(?: title="([^"\n]*)")?\n(.*?)^```$', document.read_text(), re.MULTILINE | re.DOTALL)
    return [Block(*fence) for fence in fences if fence[0] == language]


def with_blocks(language: str) -> pytest.MarkDecorator:
    """The documents that have a block in this language."""
    documents = [document for document in DOCUMENTS if blocks(document, language)]
    return pytest.mark.parametrize("document", documents, ids=lambda path: path.name)


def section(document: str, title: str) -> str:
    text = (ROOT / document).read_text()
    return text.split(f"## {title}\n")[1].split("\n## ")[0]


def commands(document: Path) -> list[str]:
    """Every `gradbench ...` between backticks, after a prompt or in a script, without what a shell adds to it."""
    text = document.read_text()
    lines = [line for block in blocks(document, "sh") for line in block.text.splitlines()]
    lines += [line[2:] for block in blocks(document, "console") for line in block.text.splitlines() if line[:2] == "$ "]
    prose = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    mentions = [" ".join(code.split()) for code in re.findall(r"`(gradbench [^`]+)`", prose)]
    lines += [f"{code} --help" if len(code.split()) == 2 else code for code in mentions]  # a verb's name alone
    found = []
    for line in lines:
        words: list[str] = []
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True  # a word may have a colon
        for word in [*lexer, ";"]:
            if re.fullmatch(r"[&|;<>()]+", word):
                if words[:1] == ["gradbench"] and "..." not in words:
                    found.append(shlex.join(words[1:]))
                words = []
            elif words or not re.fullmatch(r"\w+=.*", word):
                words.append(word)
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("document", GENERATE["DOCUMENTS"], ids=lambda path: path.name)
def test_generated_parts_are_up_to_date(document: Path) -> None:
    text = document.read_text()
    assert GENERATE["generated"](text) == text, "run python docs/generate.py"


@pytest.mark.parametrize("case", sorted(path.stem for path in ROOT.glob("cases/*.toml")))
def test_each_claim_stands_with_the_verdict_of_the_reference_run(case: str) -> None:
    expected = {claim.says: "not measured" for claim in load(ROOT / f"cases/{case}.toml").claim}
    run = ROOT / "reports/reference" / case / "claims.csv"
    if run.exists():
        with run.open(newline="") as file:
            rows = list(csv.DictReader(file))
        names = {claim.name: claim.says for claim in load(ROOT / f"cases/{case}.toml").claim}
        for row in rows:  # in the run's words
            expected.pop(names.get(row["claim"], ""), None)
            expected[row["says"]] = row["status"]
    text = (ROOT / "docs/reproduction.md").read_text().split(f"\n### {case}\n")[1].split("\n###")[0]
    lines = [re.sub(r"\\(.)", r"\1", html.unescape(line)) for line in text.splitlines() if line.startswith("| ")][2:]
    assert len(lines) == len(expected)
    for says, status in expected.items():
        (line,) = [line for line in lines if f" | {says} |" in line or f" | {says} (" in line]
        assert line[2:].split(" | ")[0].endswith(f" {status}")
    statuses = list(expected.values())
    counts = [str(statuses.count(status) or "") for status in ("held", "not held", "undecided", "not measured")]
    (short,) = [line for line in (ROOT / "README.md").read_text().splitlines() if f"#{case})" in line]
    assert [field.strip() for field in short.split("|")[3:7]] == counts


@pytest.mark.parametrize("run", sorted(ROOT.glob("reports/reference/*/cells.csv")), ids=lambda path: path.parent.name)
def test_a_reference_run_can_be_read(run: Path) -> None:
    assert len(read_run(run.parent).tables["cells"])


@pytest.mark.parametrize(("title", "names"), [("Verdicts", VERDICTS), ("Statuses", CELL_STATUSES)])
def test_every_verdict_and_status_is_explained_in_order(title: str, names: tuple[str, ...]) -> None:
    assert re.findall(r"^\| `(\S+)` \|", section("docs/results.md", title), re.MULTILINE) == list(names)


def test_every_exit_code_has_a_meaning() -> None:
    assert list(EXIT_CODES) == [code for name, code in vars(EXIT).items() if name.isupper()]


def test_the_picture_of_the_architecture_has_every_part() -> None:
    parts = re.findall(r"^(\w+)(?:/|\.py) +.*-> ", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE)
    names = re.findall(r'class="name"[^>]*>([^<]+)<', (ROOT / "docs/architecture.svg").read_text())
    assert sorted(" · ".join(names).split(" · ")) == sorted(parts)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), target


@with_blocks("python")
def test_python_runs(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page one after the other; where it does not make them, a small model and a batch are there."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {
        "x": torch.randn(4, 3, 32, 32),
        "y": torch.randint(10, (4,)),
        "criterion": nn.CrossEntropyLoss(),
        "model": nn.Sequential(nn.Conv2d(3, 1, 3), nn.BatchNorm2d(1), nn.ReLU(), nn.Flatten(), nn.Linear(900, 10)),
    }
    for block in blocks(document, "python"):
        exec(compile(block.text, f"{document.name}: {block.title or 'python'}", "exec"), names)


@with_blocks("toml")
def test_case_files_are_valid(document: Path, tmp_path: Path) -> None:
    """A block without `schema` is a part of the page's first case."""
    texts = [block.text for block in blocks(document, "toml") if block.title not in ("pyproject.toml", "mistaken.toml")]
    whole = [text for text in texts if text.startswith("schema")]
    for index, text in enumerate(texts):
        path = tmp_path / f"{index}.toml"
        path.write_text(text if text in whole else f"{whole[0]}\n{text}")
        load(path)
        load_profiles(path)


@pytest.mark.parametrize(
    ("document", "line"),
    [pytest.param(path, line, id=f"{path.name}: {line}") for path in DOCUMENTS for line in commands(path)],
)
def test_command_lines_are_understood(document: Path, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click.Command, "invoke", lambda self, ctx: None)
    result = CliRunner().invoke(cli, shlex.split(line), prog_name="gradbench")
    assert result.exit_code == EXIT.OK, result.output


@with_blocks("console")
def test_output_of_validate_is_shown_as_it_is(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks(document, "toml"):
        Path(block.title or "untitled.toml").write_text(block.text)
    for block in blocks(document, "console"):
        for command, output in re.findall(r"^\$ gradbench (validate .*)\n((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE):
            assert CliRunner().invoke(cli, shlex.split(command), prog_name="gradbench").output == output


def test_the_claim_of_the_example_of_a_case_is_held(tmp_path: Path) -> None:
    path = tmp_path / "my-case.toml"
    path.write_text(blocks(ROOT / "docs/case.md", "toml")[0].text)
    case = load(path, sets=["seeds=1"])
    ran = [(cell, run_cell(cell, None, "cpu", GATE, say=lambda text: None)) for cell in expand(case, path.stem)]
    tables = {
        name: pd.DataFrame(
            [{"cell": cell.id, **cell.point, "seed": cell.seed, **row} for cell, found in ran for row in found[name]]
        )
        for name in ran[0][1]
    }
    (claim,) = evaluate(tables, case.claim, case.matrix)
    assert claim["status"] == "held", claim


def test_what_each_strategy_acts_on_is_said() -> None:
    names = re.findall(
        r"`([a-z-]+)(?::K)?`",
        " ".join(re.findall(r"^\| (`.*?) \|", section("docs/model.md", "Any model"), re.MULTILINE)),
    )
    assert set(names) >= set(STRATEGIES)


def test_the_strategy_rounds_to_half_precision() -> None:
    names: dict[str, Any] = {}
    exec(blocks(ROOT / "docs/strategy.md", "python")[0].text, names)
    layer, x = nn.Linear(3, 2), torch.randn(5, 3)
    with names["Half"]().applied_to(layer):
        layer(x).sum().backward()
    assert layer.weight.grad is not None
    torch.testing.assert_close(layer.weight.grad, x.half().float().sum(0).expand(2, 3))
    assert (layer.weight.grad - x.sum(0)).abs().max() > 1e-6


def test_a_package_with_the_strategy_is_found(tmp_path: Path) -> None:
    page = ROOT / "docs/strategy.md"
    strategy, package = blocks(page, "python")
    (project,) = blocks(page, "toml")
    about = tomllib.loads(project.text)["project"]
    (tmp_path / package.title).parent.mkdir()
    (tmp_path / package.title).write_text(package.text)
    (tmp_path / package.title).with_name(strategy.title).write_text(strategy.text)
    installed = tmp_path / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n")
    points = about["entry-points"]
    (installed / "entry_points.txt").write_text(
        "".join(f"[{group}]\n" + "".join(f"{a} = {b}\n" for a, b in names.items()) for group, names in points.items())
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT), *sys.path])}

    def call(*words: str) -> str:
        command = [sys.executable, *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    listed = json.loads(call("-m", "gradbench", "list", "strategies", "--json"))
    assert ("half", "every saved activation is rounded to float16") in [(s["name"], s["summary"]) for s in listed]
    shown = "from gradbench.strategies import STRATEGIES; print(type(STRATEGIES.create('half')).__module__)"
    assert call("-c", shown) == f"{package.title.partition('/')[0]}.half\n"


@pytest.mark.parametrize(
    ("shell", "words", "expected"),
    [
        ("bash", "gradbench va", "plain,validate"),
        ("zsh", "gradbench va", "plain\nvalidate\nCheck case files."),
        ("fish", "va", "plain,validate\tCheck case files."),
        ("bash", "gradbench run --dr", "plain,--dry-run"),
    ],
)
def test_shells_complete_verbs_and_options(shell: str, words: str, expected: str) -> None:
    *before, last = words.split()
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
        "_GRADBENCH_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": words if shell != "fish" else f"gradbench {words}",
        "COMP_CWORD": str(len(before)) if shell != "fish" else last,
    }
    command = [
        sys.executable,
        "-c",
        "import sys; from gradbench.cli.main import main; sys.argv[0] = 'gradbench'; main()",
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == expected, done.stderr


def test_completion_is_documented_for_the_shells_that_click_knows() -> None:
    documented = re.findall(r"_GRADBENCH_COMPLETE=(\w+)_source", section("docs/cli.md", "Shell completion"))
    assert documented == ["bash", "zsh", "fish"]


@pytest.mark.parametrize("run", sorted(ROOT.glob("reports/reference/*/README.md")), ids=lambda path: path.parent.name)
def test_a_reference_run_shows_its_figures_and_has_no_others(run: Path) -> None:
    shown = re.findall(r"^!\[.+\]\(figures/(.+)\)$", run.read_text(), re.MULTILINE)
    assert shown
    assert sorted(path.name for path in (run.parent / "figures").iterdir()) == sorted(shown)
    text = (ROOT / "docs/reproduction.md").read_text()
    assert all(f"](../reports/reference/{run.parent.name}/figures/{name})" in text for name in shown)


def test_figures_are_drawn_as_the_text_names_them(tmp_path: Path) -> None:
    draw = runpy.run_path(str(ROOT / "docs/figures.py"))["draw"]
    run = Path(shutil.copytree(ROOT / "reports/reference/longer-training", tmp_path / "run"))
    (run / "README.md").write_text("![Time](figures/cost-resnet.svg)\n")
    draw(run)
    (figure,) = (run / "figures").iterdir()
    assert figure.name == "cost-resnet.svg"
    assert ">checkpoint:sqrt<" in figure.read_text()
    (run / "README.md").write_text("![Time](figures/cost-other.svg)\n")
    with pytest.raises(SystemExit, match=r"no figure cost-other.svg; there are layers-resnet.svg, "):
        draw(run)
    assert figure.exists()
