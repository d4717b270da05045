"""Every HTML page is a template over `base.html.j2`; its scripts stand inside it, or in files that pages share."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from gradbench.files import make_writable, write_atomic
from gradbench.report.bundle import vega
from gradbench.report.pack import for_script
from gradbench.report.style import asset

__all__ = ["render", "write_scripts"]


def render(template: str, /, scripts: str | None = None, package: str = "gradbench.report", **values: Any) -> str:
    """Return the page that `assets/TEMPLATE.html.j2` makes of `values`; text in them is escaped.

    Args:
        template: it extends `base.html.j2`, and fills the blocks `title`, `header`, `main` and perhaps `style`.
        scripts: the folder, as a URL relative to the page, that `write_scripts` has filled; None puts the scripts into
            the page, so that it is one file.
        package: whose `assets` are looked into first, before those of the report.
        values: what the template names; `charts`, if there is one, is what `pack.compressed` returned.
    """
    used = [name for name in _SCRIPTS if name != "vega.js" or values.get("charts")]
    inside = [_SCRIPTS[name]() for name in used] if scripts is None else []
    return (
        _environment(package)
        .get_template(f"{template}.html.j2")
        .render(
            **{"charts": "", **values},
            style=asset("page.css"),
            shared=[f"{scripts}/{name}" for name in used] if scripts is not None else [],
            scripts=[{"text": text, "hash": _hash(text)} for text in inside],
        )
    )


def write_scripts(folder: Path) -> None:
    """Write the scripts that pages with `scripts=` share.

    Raises:
        EnvironmentError: the folder cannot be written to.
    """
    make_writable(folder)
    for name, read in _SCRIPTS.items():
        write_atomic(folder / name, read())


@cache
def _environment(package: str) -> jinja2.Environment:
    packages = dict.fromkeys((package, "gradbench.report"))
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(name, "assets") for name in packages]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["tojson"] = for_script
    return environment


def _page_script() -> str:
    return "\n".join(asset(f"page/{part}.js") for part in ("shared", "tables", "page", "cells", "charts"))


#: The scripts of a page, in their order; the first takes seconds to make, so it is made only where it is asked for.
_SCRIPTS: Mapping[str, Callable[[], str]] = {"vega.js": vega, "page.js": _page_script}


def _hash(script: str) -> str:
    """The script's hash for the page's content security policy, so that no other script can run in it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
