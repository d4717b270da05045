"""The folder that a site is written to: each file whole, and what an earlier build left gone at the end."""

from __future__ import annotations

from pathlib import Path

from gradbench.errors import UsageError
from gradbench.files import cannot_write, make_writable, write_atomic
from gradbench.report.page import write_scripts

__all__ = ["SiteFolder"]

#: The list of the pages that were written, one a line, by which the next build knows what is its own.
_LIST = "pages.txt"
_SCRIPTS = "scripts"


class SiteFolder:
    """Writes pages below `root`, which may hold other files too: they are left alone.

    Raises:
        UsageError: `root` is a file.
        EnvironmentError: it cannot be written to.
    """

    def __init__(self, root: Path) -> None:
        if root.exists() and not root.is_dir():
            raise UsageError(f"{root}: is a file; --out names a folder")
        make_writable(root)
        self.root = root
        self._written: list[str] = []

    def write_scripts(self) -> None:
        """Write the scripts that the pages share, into `scripts`."""
        write_scripts(self.root / _SCRIPTS)

    def write(self, page: str, html: str) -> None:
        """Write `html` to `page`, its path from the root."""
        path = self.root / page
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(path.parent, error) from error
        write_atomic(path, html)
        self._written.append(page)

    def finish(self) -> int:
        """Remove the pages of an earlier build that were not written again; return how many there are now."""
        listing = self.root / _LIST
        before = listing.read_text(encoding="utf-8").splitlines() if listing.is_file() else []
        for page in set(before) - set(self._written):
            path = self.root / page
            if path.suffix == ".html" and path.resolve().is_relative_to(self.root.resolve()):
                path.unlink(missing_ok=True)
        write_atomic(listing, "".join(f"{page}\n" for page in sorted(self._written)))
        return len(self._written)
