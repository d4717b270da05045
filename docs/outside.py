"""A hook of MkDocs: pages and figures that lie outside docs/, so that each is kept once."""

from __future__ import annotations

import os.path
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_ROOT = Path(__file__).parents[1]
_RUNS = sorted(path.parent.name for path in _ROOT.glob("reports/reference/*/README.md"))
OUTSIDE = {
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    **{f"run-{case}.md": f"reports/reference/{case}/README.md" for case in _RUNS},
}
FIGURES = {
    f"figures/{path.parents[1].name}-{path.name}": path.relative_to(_ROOT).as_posix()
    for path in sorted(_ROOT.glob("reports/reference/*/figures/*.svg"))
}
_PLACES = {source: place for place, source in (OUTSIDE | FIGURES).items()}


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages and the figures."""
    for place, source in (OUTSIDE | FIGURES).items():
        files.append(File.generated(config, place, content=(_ROOT / source).read_text(encoding="utf-8")))


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Let links to those sources, and theirs into docs/, lead to where the site has them."""
    folder = os.path.dirname(OUTSIDE.get(page.file.src_uri, f"docs/{page.file.src_uri}"))

    def led(link: re.Match[str]) -> str:
        path, mark, anchor = link[1].partition("#")
        source = os.path.normpath(os.path.join(folder, path))
        found = _PLACES.get(source, source.removeprefix("docs/") if source.startswith("docs/") else path)
        return f"]({found}{mark}{anchor})"

    return re.sub(r"\]\((?!\w+:|#)([^)\s]+)\)", led, markdown)
