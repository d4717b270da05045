"""Sizes of memory as people write them."""

from __future__ import annotations

import re

__all__ = ["UNITS", "read_size", "written_size"]

#: Bytes of each unit; capitals do not matter.
UNITS = {"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def read_size(text: str) -> int | None:
    """Return the bytes of `1GiB`, `500 MB` or `1000`; None for what is no size above 0.

    >>> read_size("1GB"), read_size("0.5 kib"), read_size("1 TB")
    (1000000000, 512, None)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", text.strip())
    units = {unit.lower(): size for unit, size in UNITS.items()}
    if match is None or match[2].lower() not in units:
        return None
    return int(float(match[1]) * units[match[2].lower()]) or None


def written_size(size: float) -> str:
    """Return a number of bytes with four digits, in decimal units as sources print them.

    >>> written_size(1e9), written_size(218_103_808)
    ('1 GB', '218.1 MB')
    """
    unit = next((unit for unit in ("GB", "MB", "kB") if size >= UNITS[unit]), "B")
    return f"{size / UNITS[unit]:.4g} {unit}"
