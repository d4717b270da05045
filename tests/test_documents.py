"""The documents say what the code says: generated parts, names, links, and the README's own examples."""

import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gradbench.case.schema import Case
from gradbench.errors import EXIT
from gradbench.results import CELL_STATUSES, VERDICTS

ROOT = Path(__file__).parents[1]
GENERATE = runpy.run_path(str(ROOT / "docs/generate.py"))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def section(document: str, title: str) -> str:
    text = (ROOT / document).read_text()
    return text.split(f"## {title}\n")[1].split("\n## ")[0]


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("document", GENERATE["DOCUMENTS"], ids=lambda path: path.name)
def test_generated_parts_are_up_to_date(document: Path) -> None:
    text = document.read_text()
    assert "<!-- generated: " in text
    assert GENERATE["generated"](text) == text, "run python docs/generate.py"


@pytest.mark.parametrize(("title", "names"), [("Verdicts", VERDICTS), ("Statuses", CELL_STATUSES)])
def test_every_verdict_and_status_is_explained_in_order(title: str, names: tuple[str, ...]) -> None:
    assert re.findall(r"^\| `(\S+)` \|", section("docs/results.md", title), re.MULTILINE) == list(names)


def test_exit_codes_are_those_of_the_code() -> None:
    documented = re.findall(r"^\| (\d+) \|", section("docs/results.md", "Exit codes"), re.MULTILINE)
    assert list(map(int, documented)) == [code for name, code in vars(EXIT).items() if name.isupper()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), target


def test_the_examples_in_the_readme_run() -> None:
    use, build = blocks("README.md", "python")
    names: dict[str, Any] = {
        "x": torch.randn(4, 3, 32, 32),
        "y": torch.randint(10, (4,)),
        "criterion": nn.CrossEntropyLoss(),
        "model": nn.Sequential(nn.Conv2d(3, 1, 3), nn.BatchNorm2d(1), nn.ReLU(), nn.Flatten(), nn.Linear(900, 10)),
    }
    exec(use, names)
    assert names["model"][0].weight.grad.norm() > 0
    exec(build, names)
    exec(use.replace("approximate:4", "reconstruct"), names)
    assert all(parameter.grad.norm() > 0 for parameter in names["model"].parameters())


def test_the_case_in_the_readme_is_valid() -> None:
    (text,) = blocks("README.md", "toml")
    Case.model_validate(tomllib.loads(text))


def test_the_strategy_in_contributing_works() -> None:
    code = re.search(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    exec(re.sub("^   ", "", code[1], flags=re.MULTILINE), names)
    layer = nn.Linear(3, 2)
    x = torch.randn(5, 3)
    with names["Half"]().applied_to(layer):
        layer(x).sum().backward()
    assert layer.weight.grad is not None
    torch.testing.assert_close(layer.weight.grad, x.half().float().sum(0).expand(2, 3))
    assert (layer.weight.grad - x.sum(0)).abs().max() > 1e-6
