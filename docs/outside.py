"""A hook of MkDocs: pages whose source lies outside docs/, so that each text is written once."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_ROOT = Path(__file__).parents[1]
_RUNS = sorted(path.parent.name for path in _ROOT.glob("reports/reference/*/README.md"))
OUTSIDE = {
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    **{f"run-{case}.md": f"reports/reference/{case}/README.md" for case in _RUNS},
}


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages; their links into docs/ lose that folder."""
    for page, source in OUTSIDE.items():
        text = (_ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text.replace("](docs/", "](")))


def on_page_markdown(markdown: str, **_: object) -> str:
    """Let links from docs/ to those sources lead to their pages."""
    for page, source in OUTSIDE.items():
        markdown = markdown.replace(f"](../{source}", f"]({page}")
    return markdown
