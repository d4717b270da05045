"""CIFAR-10's file: what is accepted, how it comes to be, and one sentence for each way in which it cannot."""

import inspect
import sys
import zipfile
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from gradbench.case.schema import Data
from gradbench.data import cifar10, prepare
from gradbench.errors import EnvironmentError, UsageError


class SmallReader:
    """Stands for torchvision's CIFAR10: twenty training and ten test images."""

    def __init__(self, root: str, train: bool, download: bool) -> None:
        print("Files already downloaded and verified")
        sys.stderr.write("\r100.0%")
        random = np.random.default_rng(int(train))
        count = 20 if train else 10
        self.data = random.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        self.targets = [i % 10 for i in range(count)]


def use_torchvision(monkeypatch: pytest.MonkeyPatch, reader: object) -> None:
    """Make `from torchvision.datasets import CIFAR10` give `reader`."""
    module = ModuleType("torchvision.datasets")
    module.CIFAR10 = reader  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.datasets", module)


def accept_small(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let the twenty images of `SmallReader` pass for the real ones."""
    folder.mkdir(parents=True, exist_ok=True)
    train, test = (SmallReader("", train=train, download=False) for train in (True, False))
    labels = [np.asarray(part.targets, np.uint8) for part in (train, test)]
    np.savez(folder / "small.npz", x_train=train.data, y_train=labels[0], x_test=test.data, y_test=labels[1])
    with zipfile.ZipFile(folder / "small.npz") as archive:
        monkeypatch.setattr(cifar10, "CHECKSUMS", {member.filename: member.CRC for member in archive.infolist()})


def settings(folder: Path) -> Data:
    return Data(name="cifar10", path=str(folder))


def test_a_download_is_converted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_torchvision(monkeypatch, SmallReader)
    accept_small(monkeypatch, tmp_path / "expected")
    root = tmp_path / "new" / "root"
    capsys.readouterr()
    prepare(settings(root))
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"CIFAR-10 is not in {root}: downloading 170 MB\n"  # no bar, since this is no terminal
    assert [path.name for path in root.iterdir()] == ["cifar10.npz"]
    monkeypatch.setitem(sys.modules, "torchvision", None)
    data = cifar10.load(settings(root), torch.device("cpu"), 0)
    original = SmallReader("", train=True, download=False)
    np.testing.assert_array_equal(data.x_train.numpy(), original.data.transpose(0, 3, 1, 2))
    assert data.y_train.tolist() == original.targets
    assert (len(data.x_test), data.classes, data.name) == (10, 10, "cifar10")


def test_the_folder_is_the_setting_else_the_environment_else_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_torchvision(monkeypatch, SmallReader)
    accept_small(monkeypatch, tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GRADBENCH_DATA", raising=False)
    prepare(Data(name="cifar10"))
    assert (tmp_path / "home/.cache/gradbench/cifar10.npz").is_file()
    monkeypatch.setenv("GRADBENCH_DATA", str(tmp_path / "environment"))
    prepare(Data(name="cifar10"))
    assert (tmp_path / "environment/cifar10.npz").is_file()
    prepare(settings(tmp_path / "setting"))
    assert (tmp_path / "setting/cifar10.npz").is_file()


def test_other_content_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "cifar10.npz", x_train=np.zeros(3, np.uint8))
    with pytest.raises(EnvironmentError, match=r"cifar10.npz: not the real CIFAR-10; delete it"):
        prepare(settings(tmp_path))
    (tmp_path / "cifar10.npz").write_bytes(b"")
    with pytest.raises(EnvironmentError, match=r"cifar10.npz: not the real CIFAR-10; delete it"):
        prepare(settings(tmp_path))


def test_a_single_changed_byte_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_torchvision(monkeypatch, SmallReader)
    accept_small(monkeypatch, tmp_path)
    prepare(settings(tmp_path))
    content = bytearray((tmp_path / "cifar10.npz").read_bytes())
    content[1000 + np.random.default_rng().integers(60_000)] ^= 1  # somewhere in x_train
    (tmp_path / "cifar10.npz").write_bytes(content)
    with pytest.raises(EnvironmentError, match=r"cifar10.npz: damaged \(Bad CRC-32"):
        cifar10.load(settings(tmp_path), torch.device("cpu"), 0)


def test_a_missing_torchvision_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(EnvironmentError, match=r"torchvision cannot be imported \(.*\): install") as caught:
        prepare(settings(tmp_path))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_torchvision_of_another_torch_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision/__init__.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')\n"
    )
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EnvironmentError, match=r"\(operator torchvision::nms does not exist\): install"):
        prepare(settings(tmp_path / "data"))


def test_the_installed_torchvision_downloads_as_it_is_asked_to() -> None:
    try:
        reader = cifar10._reader()
    except EnvironmentError as error:
        pytest.skip(str(error))
    assert {"root", "train", "download"} <= set(inspect.signature(reader).parameters)


@pytest.mark.parametrize("error", [OSError("<urlopen error no route to host>"), RuntimeError("File not found")])
def test_no_network_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def unreachable(*_: object, **__: object) -> SimpleNamespace:
        raise error

    use_torchvision(monkeypatch, unreachable)
    with pytest.raises(EnvironmentError, match="CIFAR-10 cannot be downloaded .* put cifar10.npz into") as caught:
        prepare(settings(tmp_path))
    assert str(error) in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentError, match="cannot write CIFAR-10 there"):
        prepare(settings(tmp_path / "file" / "folder"))


def test_another_image_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="data.image_size: cifar10 has 32, got 28"):
        prepare(Data(name="cifar10", path=str(tmp_path), image_size=28))
