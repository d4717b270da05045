"""Command lines, against a shell."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gradbench.shell import command_line


@pytest.mark.parametrize("value", ["plain", "a b", "x:[256:1,>:8]", "it's; $HOME", "", "A=1 B=2"])
def test_a_shell_reads_what_is_set_and_every_word(value: str) -> None:
    code = "import os, sys; print(repr((os.environ['CONF'], sys.argv[1:])))"
    line = command_line([f"CONF={value}", sys.executable, "-c", code, f"x={value}", value])
    told = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout
    assert told == f"{(value, [f'x={value}', value])!r}\n"
