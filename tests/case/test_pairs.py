"""Claims cell by cell whose cells have one counterpart each are accepted, profile by profile."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradbench.case.load import load
from gradbench.errors import UsageError

_CASE = """schema = 1
title = "t"
question = "q"
source = "s"
[model]
name = "hybrid"
{matrix}
[data]
name = "digits"
[[claim]]
name = "c"
says = "x"
test = "< 1"
value = {{ table = "cells", column = "accuracy", where = {{ strategy = "stored"{value} }} }}
minus = {{ table = "cells", column = "accuracy", where = {{ strategy = "reconstruct"{minus} }} }}
across = "max"
profiles = {profiles}
{after}
"""
_BOTH = '[profile.quick]\n"matrix.depth" = [3]\n[profile.full]\n"matrix.depth" = [2, 4]\n'
_EACH = '[profile.quick]\n"matrix.depth" = [3]\n[profile.full]\n"matrix.depth" = [4]\n'


@pytest.mark.parametrize(
    ("parts", "accepted"),
    [
        ({"matrix": "[matrix]\ndepth = [2, 4]", "value": "", "minus": ""}, True),
        ({"matrix": "[matrix]\ndepth = [2, 4]", "value": ", depth = 2", "minus": ", depth = 4"}, True),
        ({"matrix": "[matrix]\ndepth = [2, 4]", "value": ", depth = [2, 4]", "minus": ", depth = [4, 2]"}, True),
        ({"matrix": "[matrix]\ndepth = [2, 4]", "value": "", "minus": ", depth = 4"}, False),
        ({"matrix": "[matrix]\ndepth = [2]", "value": "", "minus": ", depth = 2"}, True),
        ({"after": _BOTH, "profiles": '["full"]', "value": ", depth = 2", "minus": ", depth = 4"}, True),
        ({"after": _BOTH, "profiles": '["full"]', "value": ", depth = 2", "minus": ""}, False),
        ({"after": _EACH, "value": ", depth = 4", "minus": ""}, True),
    ],
)
def test_only_cells_that_could_have_several_counterparts_are_refused(
    tmp_path: Path, parts: dict[str, str], accepted: bool
) -> None:
    path = tmp_path / "c.toml"
    path.write_text(_CASE.format(**{"matrix": "", "after": "", "profiles": "[]", **parts}), encoding="utf-8")
    if accepted:
        assert load(path).claim[0].across == "max"
    else:
        with pytest.raises(UsageError, match=r"minus\.where: depth differs from value\.where"):
            load(path)
