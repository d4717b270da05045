"""Imported once by the server that the cells' processes are forked from: what every cell would import anyway."""

from __future__ import annotations

import importlib
from contextlib import suppress

# torch imports its _dynamo, which takes seconds, at the first call of an optimiser.
for _module in ("torch", "torch._dynamo", "gradbench.measure.cell"):
    # What cannot be imported here cannot be imported in a cell either, and there it becomes the cell's reason.
    with suppress(Exception):
        importlib.import_module(_module)
