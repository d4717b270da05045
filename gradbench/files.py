"""Files that are there whole or not at all: written under a temporary name, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from gradbench.errors import EnvironmentError

__all__ = ["atomic", "cannot_write", "make_writable", "plain", "write_atomic"]


def cannot_write(path: Path, error: OSError) -> EnvironmentError:
    """The sentence for the user: what could not be written, and why."""
    return EnvironmentError(f"{path}: cannot write there: {(error.strerror or str(error)).lower()}")


@contextmanager
def atomic(path: Path) -> Iterator[TextIO]:
    """A text file to write to, which appears under `path` when the block ends and not at all if it raises.

    Raises:
        EnvironmentError: the disk is full, or the folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write `content` to `path`: the old file or the new one, never a part of it."""
    with atomic(path) as file:
        if isinstance(content, bytes):
            file.buffer.write(content)
        else:
            file.write(content)


def plain(value: Any) -> Any:
    """Return a number of NumPy or torch as Python's own, for `json.dumps(..., default=plain)`."""
    return value.item()


def make_writable(folder: Path) -> None:
    """Create `folder` and try to write a file there.

    Raises:
        EnvironmentError: it cannot be.
    """
    probe = folder / f".writable.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_text("gradbench\n", encoding="utf-8")
        probe.unlink()
    except OSError as error:
        raise cannot_write(folder, error) from error
