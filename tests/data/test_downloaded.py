"""Downloaded data sets: what is accepted, how files come to be, and one sentence for each way in which they cannot."""

import pickle
import struct
import sys
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from zlib import crc32

import numpy as np
import pytest
import torch

from gradbench.case.schema import Data
from gradbench.data import DATASETS, downloaded, identity, prepare
from gradbench.data.published import PUBLISHED
from gradbench.errors import EnvironmentError, UsageError

TRAIN, TEST = 20, 10
#: The shape of an image as torchvision's reader has it, by data set.
AS_READ = {"cifar10": (32, 32, 3), "cifar100": (32, 32, 3), "svhn": (3, 32, 32), "fashion-mnist": (28, 28)}
with_names = pytest.mark.parametrize("name", PUBLISHED)


class Half(SimpleNamespace):
    """Stands for an instance of a reader of torchvision: its images and labels, fresh random bytes."""

    @classmethod
    def drawn(cls, name: str, count: int) -> "Half":
        random = np.random.default_rng()
        images = random.integers(0, 256, (count, *AS_READ[name]), dtype=np.uint8)
        labels = random.integers(0, DATASETS[name].defaults["classes"], count)
        if name == "fashion-mnist":  # tensors there, arrays and lists elsewhere
            return cls(data=torch.from_numpy(images), targets=torch.from_numpy(labels))
        return cls(data=images, labels=labels) if name == "svhn" else cls(data=images, targets=labels.tolist())

    def shown(self) -> np.ndarray[Any, Any]:
        """The images as the file should have them, (N, 32, 32, C), put together pixel by pixel."""
        images = np.asarray(self.data)
        if images.ndim == 3:
            out = np.zeros((len(images), 32, 32, 1), np.uint8)
            for row in range(28):
                for column in range(28):
                    out[:, row + 2, column + 2, 0] = images[:, row, column]
            return out
        return np.stack([images[:, c] for c in range(3)], -1) if images.shape[1] == 3 else images

    def answers(self) -> list[int]:
        """The labels."""
        return [int(label) for label in (self.labels if hasattr(self, "labels") else self.targets)]


def use_reader(monkeypatch: pytest.MonkeyPatch, name: str, reader: Callable[..., Any]) -> None:
    """Make the data set's class in `torchvision.datasets` be `reader`."""
    module = ModuleType("torchvision.datasets")
    setattr(module, PUBLISHED[name].reader, reader)
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.datasets", module)


def use_small(monkeypatch: pytest.MonkeyPatch, name: str) -> tuple[Half, Half]:
    """Let thirty random images pass for the real ones, and torchvision have them."""
    halves = Half.drawn(name, TRAIN), Half.drawn(name, TEST)
    arrays = (halves[0].shown(), halves[0].answers(), halves[1].shown(), halves[1].answers())
    checksums = {
        f"{member}.npy": checksum(np.asarray(array, np.uint8))
        for member, array in zip(("x_train", "y_train", "x_test", "y_test"), arrays, strict=True)
    }
    published = PUBLISHED[name]
    small = replace(published, shape=(TRAIN, *published.shape[1:]), tests=TEST, checksums=checksums)
    monkeypatch.setitem(PUBLISHED, name, small)

    def read(root: str, download: bool, train: bool | None = None, split: str = "") -> Half:
        assert download
        print("Files already downloaded and verified")
        sys.stderr.write("\r100.0%")
        return halves[0] if train or split == "train" else halves[1]

    use_reader(monkeypatch, name, read)
    return halves


def checksum(array: np.ndarray[Any, Any]) -> int:
    """The CRC-32 of the bytes that numpy writes for an array."""
    stream = BytesIO()
    np.save(stream, array)
    return crc32(stream.getvalue())


def settings(name: str, folder: Path) -> Data:
    return Data(name=name, path=str(folder))


@with_names
def test_a_download_is_converted_once(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train, test = use_small(monkeypatch, name)
    root = tmp_path / "new" / "root"
    prepare(settings(name, root))
    said, published = capsys.readouterr(), PUBLISHED[name]
    assert said.out == ""
    # No bar, since this is no terminal.
    assert said.err == f"{published.title} is not in {root}: downloading {published.megabytes} MB\n"
    assert [path.name for path in root.iterdir()] == [f"{name}.npz"]
    monkeypatch.setitem(sys.modules, "torchvision", None)
    data = DATASETS[name].load()(settings(name, root), torch.device("cpu"), 0)
    for half, images, labels in ((train, data.x_train, data.y_train), (test, data.x_test, data.y_test)):
        expected = np.broadcast_to(half.shown(), (*half.shown().shape[:3], 3))
        np.testing.assert_array_equal(images.permute(0, 2, 3, 1).numpy(), expected)
        assert labels.tolist() == half.answers()
    assert (data.classes, data.name) == (100 if name == "cifar100" else 10, name)


def idx(array: np.ndarray[Any, Any]) -> bytes:
    """A file of the format that MNIST came with."""
    return struct.pack(f">{array.ndim + 1}i", 0x0800 | array.ndim, *array.shape) + array.tobytes()


@pytest.mark.parametrize("name", ["cifar100", "svhn", "fashion-mnist"])
def test_the_installed_torchvision_reads_archives_as_the_conversion_takes_them(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tiny archives of the published formats, read by torchvision itself, its check of MD5 sums put aside."""
    try:
        reader: Any = downloaded._reader(PUBLISHED[name], tmp_path / f"{name}.npz")
    except EnvironmentError as error:
        pytest.skip(str(error))
    module = sys.modules[reader.__module__]
    monkeypatch.setattr(module, "check_integrity", lambda *_: True)
    halves = Half.drawn(name, TRAIN), Half.drawn(name, TEST)
    if name == "cifar100":
        folder = tmp_path / reader.base_folder
        folder.mkdir()
        (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": [str(i) for i in range(100)]}))
        for half, file in zip(halves, ("train", "test"), strict=True):
            rows = half.data.transpose(0, 3, 1, 2).reshape(len(half.data), -1)
            coarse = [0] * len(rows)
            content = {"data": rows, "fine_labels": half.targets, "coarse_labels": coarse}
            (folder / file).write_bytes(pickle.dumps(content))
    elif name == "svhn":
        from scipy.io import savemat

        monkeypatch.setattr(module, "download_url", lambda *_, **__: None)
        for half, file in zip(halves, ("train", "test"), strict=True):
            labels = np.where(half.labels == 0, 10, half.labels)[:, None]
            savemat(tmp_path / f"{file}_32x32.mat", {"X": half.data.transpose(2, 3, 1, 0), "y": labels})
    else:
        folder = tmp_path / "FashionMNIST" / "raw"
        folder.mkdir(parents=True)
        for half, prefix in zip(halves, ("train", "t10k"), strict=True):
            (folder / f"{prefix}-images-idx3-ubyte").write_bytes(idx(half.data.numpy()))
            (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(half.targets.numpy().astype(np.uint8)))
    published = PUBLISHED[name]
    train, test = (reader(str(tmp_path), download=True, **half) for half in (published.train, published.test))
    arrays = downloaded._converted(published, train, test)._asdict()
    for half, part in zip(halves, ("train", "test"), strict=True):
        np.testing.assert_array_equal(arrays[f"x_{part}"], half.shown())
        assert arrays[f"y_{part}"].tolist() == half.answers()


def test_the_folder_is_the_setting_else_the_environment_else_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_small(monkeypatch, "svhn")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GRADBENCH_DATA", raising=False)
    prepare(Data(name="svhn"))
    assert (tmp_path / "home/.cache/gradbench/svhn.npz").is_file()
    monkeypatch.setenv("GRADBENCH_DATA", str(tmp_path / "environment"))
    prepare(Data(name="svhn"))
    assert (tmp_path / "environment/svhn.npz").is_file()
    prepare(settings("svhn", tmp_path / "setting"))
    assert (tmp_path / "setting/svhn.npz").is_file()


@with_names
def test_other_content_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_small(monkeypatch, name)
    prepare(settings(name, tmp_path))
    path = tmp_path / f"{name}.npz"
    with np.load(path) as file:
        arrays = dict(file)
    refused = rf"{name}.npz: not {PUBLISHED[name].title}, by shapes or checksums; delete it"
    for other in (
        {"x_train": arrays["x_train"]},
        arrays | {"extra": arrays["y_test"]},
        arrays | {"x_train": arrays["x_train"][1:]},
        arrays | {"y_train": arrays["y_train"].astype(np.int64)},
        arrays | {"x_test": arrays["x_test"] ^ np.uint8(1)},
    ):
        np.savez(path, **other)
        with pytest.raises(EnvironmentError, match=refused):
            prepare(settings(name, tmp_path))
    path.write_bytes(b"")
    with pytest.raises(EnvironmentError, match=refused):
        prepare(settings(name, tmp_path))


def test_without_known_checksums_the_shapes_are_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_small(monkeypatch, "cifar100")
    monkeypatch.setitem(PUBLISHED, "cifar100", replace(PUBLISHED["cifar100"], checksums={}))
    prepare(settings("cifar100", tmp_path))
    with np.load(tmp_path / "cifar100.npz") as file:
        arrays = dict(file)
    np.savez_compressed(tmp_path / "cifar100.npz", **(arrays | {"x_test": arrays["x_test"] ^ np.uint8(1)}))
    prepare(settings("cifar100", tmp_path))
    np.savez(tmp_path / "cifar100.npz", **(arrays | {"x_test": arrays["x_test"][:, :28]}))
    with pytest.raises(EnvironmentError, match=r"not CIFAR-100, by shapes"):
        prepare(settings("cifar100", tmp_path))
    labels = arrays["y_test"].copy()
    labels[0] = 100
    np.savez(tmp_path / "cifar100.npz", **(arrays | {"y_test": labels}))
    with pytest.raises(EnvironmentError, match=r"has labels beyond the 100 classes of cifar100"):
        downloaded.load(settings("cifar100", tmp_path), torch.device("cpu"), 0)


def test_a_single_changed_byte_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_small(monkeypatch, "cifar10")
    prepare(settings("cifar10", tmp_path))
    content = bytearray((tmp_path / "cifar10.npz").read_bytes())
    content[1000 + np.random.default_rng().integers(60_000)] ^= 1  # somewhere in x_train
    (tmp_path / "cifar10.npz").write_bytes(content)
    with pytest.raises(EnvironmentError, match=r"cifar10.npz: damaged \(Bad CRC-32"):
        downloaded.load(settings("cifar10", tmp_path), torch.device("cpu"), 0)


def test_a_missing_torchvision_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(EnvironmentError, match=r"imported \(.*\): install .* put cifar10.npz into") as caught:
        prepare(settings("cifar10", tmp_path))
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
        prepare(settings("svhn", tmp_path / "data"))


@pytest.mark.parametrize("error", [OSError("<urlopen error no route to host>"), RuntimeError("File not found")])
@with_names
def test_no_network_is_one_sentence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def unreachable(*_: object, **__: object) -> SimpleNamespace:
        raise error

    use_reader(monkeypatch, name, unreachable)
    title = PUBLISHED[name].title
    with pytest.raises(EnvironmentError, match=f"{title} cannot be downloaded .* put {name}.npz into") as caught:
        prepare(settings(name, tmp_path))
    assert str(error) in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentError, match="cannot write CIFAR-10 there"):
        prepare(settings("cifar10", tmp_path / "file" / "folder"))


@with_names
def test_another_image_size_or_number_of_classes_is_refused(name: str, tmp_path: Path) -> None:
    classes = 100 if name == "cifar100" else 10
    with pytest.raises(UsageError, match=f"data.image_size: {name} has 32, got 28"):
        prepare(Data(name=name, path=str(tmp_path), image_size=28))
    with pytest.raises(UsageError, match=f"data.classes: {name} has {classes}, got 7"):
        prepare(Data(name=name, path=str(tmp_path), classes=7))
    assert Data(name=name).classes == classes


def test_each_data_set_is_identified_by_what_was_published() -> None:
    identities = [identity(Data(name=name)) for name in PUBLISHED]
    assert len(set(identities)) == len(PUBLISHED)
    for name, published in PUBLISHED.items():
        # A data set whose file cannot be held against checksums is identified by its archives' MD5 sums.
        lengths = [len(part) for part in published.content.split()]
        assert lengths == [64] if published.checksums else set(lengths) == {32}
        assert DATASETS[name].defaults["image_size"] == published.shape[1] == published.shape[2]
