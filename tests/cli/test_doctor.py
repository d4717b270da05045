"""`gradbench doctor`: each line is ok or says what to do; 0 if a quick profile can run, else 4."""

from __future__ import annotations

import importlib
import sys
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from click.testing import Result

Call = Callable[..., Result]


@pytest.fixture(autouse=True)
def settings_of_torch() -> Iterator[None]:
    """Put torch's switches back, which the doctor tries."""
    flags = torch.backends.cudnn
    before = flags.deterministic, flags.allow_tf32, flags.benchmark, torch.backends.cuda.matmul.allow_tf32
    yield
    flags.deterministic, flags.allow_tf32, flags.benchmark, torch.backends.cuda.matmul.allow_tf32 = before


def line(result: Result, name: str) -> str:
    """The line about `name`."""
    (found,) = [line for line in result.stdout.splitlines() if line[3:].startswith(f"{name} ")]
    return found


def test_a_machine_that_can_run_tests_can_run_a_quick_profile(call: Call, tmp_path: Path) -> None:
    result = call("doctor", "--out", tmp_path / "reports")
    assert result.exit_code == 0, result.stdout
    *lines, last = result.stdout.splitlines()
    assert all(line.startswith(("ok ", "!! ")) for line in lines)
    assert last == "A quick profile can run here."
    assert line(result, "torch").startswith(f"ok torch        {torch.__version__}")
    assert line(result, "digits") == "ok digits       1437 images to train on, 360 to test"
    assert line(result, "GPU").startswith("ok" if torch.cuda.is_available() else "!! GPU          none: ")
    assert not (tmp_path / "reports").exists()


def test_an_old_torch_is_refused(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", "2.8.1+cpu")
    result = call("doctor")
    assert result.exit_code == 4
    assert line(result, "torch") == "!! torch        2.8.1+cpu is older than 2.9: pip install -U torch torchvision"


def test_no_torch_is_a_line_and_the_others_still_come(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    result = call("doctor")
    assert result.exit_code == 4
    assert "pip install 'torch>=2.9'" in line(result, "torch")
    assert line(result, "packages").startswith("ok")


def test_an_old_python_is_refused(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    version = namedtuple("version", "major minor micro releaselevel serial")
    monkeypatch.setattr(sys, "version_info", version(3, 10, 4, "final", 0))
    result = call("doctor")
    assert result.exit_code == 4
    assert line(result, "Python") == "!! Python       3.10.4: supported are 3.11 to 3.13"


def _torchvision(monkeypatch: pytest.MonkeyPatch, needs: list[str]) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace(__version__="0.28.0"))
    monkeypatch.setattr("gradbench.cli.doctor.requires", lambda package: needs)


def test_a_torchvision_that_belongs_to_torch(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    version = torch.__version__.partition("+")[0]
    _torchvision(monkeypatch, ["numpy", f"torch=={version}", "torch-other==9.9"])
    assert line(call("doctor"), "torchvision") == "ok torchvision  0.28.0"


def test_a_torchvision_of_another_torch_is_no_obstacle(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    _torchvision(monkeypatch, ["numpy", "torch==1.2.3"])
    result = call("doctor")
    assert result.exit_code == 0
    expected = (
        f"!! torchvision  0.28.0 belongs to torch 1.2.3, not {torch.__version__}: pip install -U torch torchvision"
    )
    assert line(result, "torchvision") == expected


def test_a_torchvision_that_cannot_be_imported_is_no_obstacle(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    result = call("doctor")
    assert result.exit_code == 0
    assert line(result, "torchvision").startswith("!! torchvision  cannot be imported (")


def test_a_gpu_is_named(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    properties = SimpleNamespace(name="Some GPU", total_memory=80 * 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties)
    monkeypatch.setattr("subprocess.run", lambda *_, **__: SimpleNamespace(stdout="570.1\n570.1\n"))
    assert line(call("doctor"), "GPU") == "ok GPU          Some GPU, 80 GiB, driver 570.1"


@pytest.mark.parametrize(("names", "marks"), [("AA", ["ok", "ok"]), ("AB", ["ok", "ok", "!!"])])
def test_several_gpus_are_named_and_two_kinds_warned_of(
    call: Call, monkeypatch: pytest.MonkeyPatch, names: str, marks: list[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    properties = [SimpleNamespace(name=name, total_memory=80 * 2**30) for name in names]
    monkeypatch.setattr(torch.cuda, "get_device_properties", properties.__getitem__)
    monkeypatch.setattr("subprocess.run", lambda *_, **__: SimpleNamespace(stdout="570.1\n"))
    lines = [line.split(maxsplit=2) for line in call("doctor").output.splitlines() if " GPU " in line]
    assert [mark for mark, _, _ in lines] == marks
    assert lines[1][2] == f"cuda:1: {names[1]}, 80 GiB, driver 570.1"


def test_a_forced_tf32_is_found(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradbench.measure.precision.use_plain_float32", lambda: None)
    torch.backends.cudnn.allow_tf32 = True
    assert line(call("doctor"), "determinism").startswith("!!")


def test_downloaded_images_are_found_where_they_are(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GRADBENCH_DATA", str(tmp_path))
    missing = call("doctor")
    assert missing.exit_code == 0
    assert line(missing, "images").startswith(f"!! images       {tmp_path} has none that are downloaded; the first run")
    (tmp_path / "svhn.npz").write_bytes(b"")
    found = f"ok images       {tmp_path} has svhn; the first run that needs cifar10 or cifar100 or fashion-mnist"
    assert line(call("doctor"), "images") == f"{found} downloads it"


def test_unreadable_digits_are_an_obstacle(call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("gradbench.data.digits._FILE", tmp_path / "digits.npz")
    result = call("doctor")
    assert result.exit_code == 4
    assert line(result, "digits").startswith("!! digits       cannot be read (")


def test_an_unwritable_folder_is_an_obstacle(call: Call) -> None:
    result = call("doctor", "--out", "/proc/nothing/reports")
    assert result.exit_code == 4
    assert line(result, "reports").startswith("!! reports      /proc/nothing/reports: ")
    assert result.stdout.splitlines()[-1] == "No case can run here until the lines with !! are mended."


def test_a_nearly_full_disk_is_a_warning(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=2**29))
    result = call("doctor")
    assert result.exit_code == 0
    assert line(result, "reports") == "!! reports      reports: 0.5 GiB free: make room, or choose --out"


def test_a_missing_package_is_named(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    imported = importlib.import_module

    def import_module(name: str) -> object:
        if name == "altair":
            raise ImportError("not here")
        return imported(name)

    monkeypatch.setattr("gradbench.cli.doctor.importlib.import_module", import_module)
    result = call("doctor")
    assert result.exit_code == 4
    assert "reports need altair (not here)" in line(result, "packages")
