"""What holds for every verb: help, unknown names, exit codes, and what is not imported."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable

import click
import pytest
from click.testing import Result

import gradbench
from gradbench.cli import validate
from gradbench.cli.main import VERBS, cli
from gradbench.errors import EnvironmentError, GradbenchError, UsageError

Call = Callable[..., Result]


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["list", "strategies"], ["validate"], ["run", "--help"]])
def test_quick_verbs_import_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom gradbench.cli.main import main\n"
        f"sys.argv = ['gradbench', *{arguments}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0, end.code\n"
        "heavy = {'torch', 'torchvision', 'pandas', 'numpy', 'scipy', 'altair'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "gradbench", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"gradbench {gradbench.__version__}\n"


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_every_verb_and_exit_code(call: Call, flag: str) -> None:
    result = call(flag)
    assert result.exit_code == 0
    assert all(f"\n  {verb} " in result.stdout for verb in VERBS)
    assert "130 interrupted" in result.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_every_option_explained(call: Call, verb: str) -> None:
    result = call(verb, "--help")
    assert result.exit_code == 0
    command = cli.get_command(click.Context(cli), verb)
    assert command is not None
    assert all(option.help for option in command.params if isinstance(option, click.Option))
    assert all(option.opts[0] in result.stdout for option in command.params if isinstance(option, click.Option))


def test_an_unknown_verb_is_answered_with_the_nearest(call: Call) -> None:
    result = call("lst")
    assert result.exit_code == 2
    assert "unknown verb 'lst': allowed are run, gather," in result.stderr
    assert "did you mean 'list'?" in result.stderr
    assert result.stdout == ""


def test_no_verb_and_a_wrong_option_are_bad_usage(call: Call) -> None:
    assert call().exit_code == 2
    assert call("list", "--jsn").exit_code == 2
    assert call("--jsn").exit_code == 2


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (UsageError("no such thing"), 2, "no such thing"),
        (EnvironmentError("no GPU here"), 4, "no GPU here"),
        (GradbenchError("worse than before"), 1, "worse than before"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(errno.ENOSPC, "No space left on device", "a/b.csv"), 4, "a/b.csv: no space left on device"),
        (PermissionError(errno.EACCES, "Permission denied", "a/b.csv"), 4, "a/b.csv: permission denied"),
        (OSError(errno.EROFS, "Read-only file system"), 4, "read-only file system"),
    ],
)
def test_every_expected_end_is_one_sentence_and_an_exit_code(
    call: Call, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, text: str
) -> None:
    def fail(name: str) -> None:
        raise error

    monkeypatch.setattr(validate, "find", fail)
    result = call("validate", "x")
    assert (result.exit_code, result.stderr, result.stdout) == (code, f"{text}\n", "")


def test_an_unexpected_error_keeps_its_traceback(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file", "x")

    monkeypatch.setattr(validate, "find", fail)
    assert isinstance(call("validate", "x").exception, FileNotFoundError)
