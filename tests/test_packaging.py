"""What `pip install` puts elsewhere is all that is needed there: cases, data, templates and the command."""

import subprocess
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest

import gradbench

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed() -> Distribution:
    """The installed gradbench, if that is the one under test."""
    try:
        found = distribution("gradbench")
    except PackageNotFoundError:
        pytest.skip("gradbench is not installed here; tox installs it")
    if (
        Path(str(found.locate_file("gradbench/__init__.py"))) != Path(gradbench.__file__)
        or ROOT in Path(gradbench.__file__).parents[:2]
    ):
        pytest.skip("gradbench is imported from the clone; tox installs it")
    return found


def test_every_file_of_the_package_is_installed(installed: Distribution) -> None:
    wanted = {
        *(path.relative_to(ROOT) for path in ROOT.glob("gradbench/**/*") if path.is_file()),
        *(Path("gradbench") / path.relative_to(ROOT) for path in ROOT.glob("cases/*.toml")),
    }
    wanted = {path.as_posix() for path in wanted if "__pycache__" not in path.parts}
    assert wanted - {str(path) for path in installed.files or ()} == set()


def test_the_version_is_the_code_s(installed: Distribution) -> None:
    assert installed.version == gradbench.__version__


def test_the_command_knows_the_cases_away_from_the_clone(installed: Distribution, tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("gradbench")
    run = subprocess.run([command, "list"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    for case in ROOT.glob("cases/*.toml"):
        assert case.stem in run.stdout
