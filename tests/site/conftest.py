"""A folder of invented reports and the site that is built from it."""

from __future__ import annotations

import runpy
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest

from gradbench.site.build import build_site

SYNTHETIC = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("synthetic_reports.py"))))


class Page(HTMLParser):
    """What a page consists of: its tags, links, ids and text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value for name, value in attrs if name in ("href", "src") and value]
        self.ids += [value for name, value in attrs if name == "id" and value]

    def handle_data(self, data: str) -> None:
        self.text += f"{data} " if self.tags and self.tags[-1] not in ("style", "script") else ""


@pytest.fixture(scope="session")
def synthetic() -> SimpleNamespace:
    return SYNTHETIC


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(SYNTHETIC.write_reports(tmp_path_factory.mktemp("site") / "reports"))


@pytest.fixture(scope="session")
def site(reports: Path) -> Path:
    """The folder of the built site."""
    return build_site(reports, reports.with_name("site")).index.parent


@pytest.fixture(scope="session")
def pages(site: Path) -> dict[str, Page]:
    """Every page by its path from the root."""
    return {str(path.relative_to(site)): Page(path) for path in sorted(site.rglob("*.html"))}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder of reports with one case and one run."""
    SYNTHETIC.add_run(tmp_path / "reports", "one", "run-1", 0)
    return tmp_path / "reports"


@pytest.fixture
def plain_run_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs' pages without charts, for tests that are not about them: charts take a second a run."""
    monkeypatch.setattr("gradbench.site.publish.render_run", lambda run, *_: f"<title>{run.folder.name}</title>")
