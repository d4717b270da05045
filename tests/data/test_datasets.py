"""Every data set: what it holds, what identifies it, and one sentence for each thing that can be wrong."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from gradbench.case.schema import Data
from gradbench.data import DATASETS, identity, prepare
from gradbench.data.dataset import Dataset
from gradbench.errors import UsageError

CPU = torch.device("cpu")


def load(settings: Data, seed: int = 0) -> Dataset:
    data: Dataset = DATASETS[settings.name].load()(settings, CPU, seed)
    return data


@pytest.fixture
def npz(tmp_path: Path) -> dict[str, np.ndarray]:
    """The arrays of a small valid file."""
    random = np.random.default_rng(1)
    return {
        "x_train": random.integers(0, 256, (20, 6, 6, 3), dtype=np.uint8),
        "y_train": np.arange(20) % 4,
        "x_test": random.integers(0, 256, (8, 6, 6, 3), dtype=np.uint8),
        "y_test": np.arange(8) % 4,
    }


def written(folder: Path, arrays: dict[str, np.ndarray]) -> Data:
    np.savez(folder / "made.npz", **arrays)
    return Data(name="npz", path=str(folder / "made.npz"), image_size=6, classes=4)


@pytest.mark.parametrize("settings", [Data(name="digits"), Data(name="synthetic", image_size=12, classes=3)])
def test_a_data_set_is_bytes_and_labels_of_the_stated_shape(settings: Data) -> None:
    data, size = load(settings), settings.image_size
    assert data.x_train.shape[1:] == data.x_test.shape[1:] == (3, size, size)
    assert data.x_train.dtype == data.x_test.dtype == torch.uint8
    assert data.y_train.dtype == data.y_test.dtype == torch.int64
    assert data.classes == settings.classes
    assert set(data.y_train.tolist()) == set(data.y_test.tolist()) == set(range(settings.classes))
    assert data.mean.shape == data.std.shape == (3,)
    assert data.name == settings.name


def test_digits_are_1797_split_in_their_order() -> None:
    data = load(Data(name="digits"))
    assert (len(data.x_train), len(data.x_test)) == (1437, 360)
    assert data.y_train[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    # The data set's published number of images of each class.
    counts = torch.bincount(torch.cat([data.y_train, data.y_test])).tolist()
    assert counts == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


@pytest.mark.parametrize("size", [8, 17, 28, 32])
def test_digits_are_enlarged_as_torch_interpolates(size: int) -> None:
    small = load(Data(name="digits", image_size=8)).x_train.double()
    large = load(Data(name="digits", image_size=size)).x_train.double()
    expected = interpolate(small, (size, size), mode="bilinear", align_corners=False)
    assert (large - expected).abs().max() <= 1  # both are rounded to bytes, here before and there after


def test_synthetic_images_follow_their_seed() -> None:
    settings = Data(name="synthetic", image_size=8)
    assert torch.equal(load(settings, 1).x_train, load(settings, 1).x_train)
    assert not torch.equal(load(settings, 1).x_train, load(settings, 2).x_train)


def test_synthetic_labels_can_be_learned() -> None:
    data = load(Data(name="synthetic", image_size=8, classes=5))
    means = torch.stack([data.x_train[data.y_train == label].float().mean(0) for label in range(5)])
    nearest = torch.cdist(data.x_test.float().flatten(1), means.flatten(1)).argmin(1)
    assert (nearest == data.y_test).float().mean() > 0.9


@pytest.mark.parametrize("settings", [Data(name="digits", classes=4), Data(name="cifar10", classes=4)])
def test_a_fixed_number_of_classes_cannot_be_changed(settings: Data) -> None:
    with pytest.raises(UsageError, match=f"data.classes: {settings.name} has 10, got 4"):
        prepare(settings)


def test_asking_about_data_imports_no_torch() -> None:
    code = (
        "import sys; from gradbench.case.schema import Data; from gradbench.data import identity, prepare\n"
        "for name in ('digits', 'synthetic'): prepare(Data(name=name)); identity(Data(name=name))\n"
        "identity(Data(name='cifar10')); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_identity_follows_what_decides_the_bytes(tmp_path: Path, npz: dict[str, np.ndarray]) -> None:
    assert identity(Data(name="digits", batch_size=8)) == identity(Data(name="digits", crop=2))
    assert identity(Data(name="digits")) != identity(Data(name="digits", image_size=16))
    assert identity(Data(name="synthetic", classes=3)) != identity(Data(name="synthetic", classes=4))
    assert identity(Data(name="cifar10", path="a")) == identity(Data(name="cifar10", path="b"))
    settings = written(tmp_path, npz)
    before = identity(settings)
    assert before == identity(settings)
    npz["x_test"][0, 0, 0, 0] ^= 1
    written(tmp_path, npz)
    assert identity(settings) != before


@pytest.mark.parametrize("layout", ["NHWC", "NCHW", "one channel", "no channel"])
def test_npz_takes_every_layout(tmp_path: Path, npz: dict[str, np.ndarray], layout: str) -> None:
    change = {
        "NHWC": lambda x: x,
        "NCHW": lambda x: x.transpose(0, 3, 1, 2),
        "one channel": lambda x: x[..., :1],
        "no channel": lambda x: x[..., 0],
    }[layout]
    original = npz["x_train"]
    data = load(written(tmp_path, npz | {name: change(npz[name]) for name in ("x_train", "x_test")}))
    expected = original if layout in ("NHWC", "NCHW") else np.repeat(original[..., :1], 3, axis=3)
    np.testing.assert_array_equal(data.x_train.numpy(), expected.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(data.y_test.numpy(), npz["y_test"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_train": None}, r"made.npz: has no array x_train; it has y_train, x_test, y_test"),
        ({"x_train": np.zeros((20, 6, 6, 3))}, r"x_train must be uint8 \(0 to 255\), got float64"),
        ({"x_test": np.zeros((8, 6, 6, 4), np.uint8)}, r"x_test must be .* with 1 or 3 channels, got \(8, 6, 6, 4\)"),
        ({"x_test": np.zeros((8, 5, 6, 3), np.uint8)}, r"data.image_size: .*x_test has images of 5x6, got 6"),
        ({"x_test": np.zeros((8, 6, 6), np.uint8)}, r"x_train and x_test differ in their channels"),
        ({"x_train": np.zeros((20, 6, 6, 3), np.uint8)}, r"a channel of x_train has one value only"),
        ({"y_train": np.zeros(20)}, r"y_train must be integers, got float64"),
        ({"y_train": np.zeros(19, int)}, r"y_train must be \(20,\), one label an image, got \(19,\)"),
        ({"y_test": np.full(8, 4)}, r"data.classes: .*y_test has labels 4 to 4, got 4 classes"),
    ],
)
def test_npz_says_what_is_wrong(
    tmp_path: Path, npz: dict[str, np.ndarray], change: dict[str, np.ndarray | None], message: str
) -> None:
    arrays = {name: array for name, array in (npz | change).items() if array is not None}
    with pytest.raises(UsageError, match=message):
        prepare(written(tmp_path, arrays))


def test_npz_needs_a_file_that_is_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="data.path: data set 'npz' needs the path of its file"):
        prepare(Data(name="npz"))
    with pytest.raises(UsageError, match=r"data.path: there is no file 'nowhere.npz'"):
        prepare(Data(name="npz", path="nowhere.npz"))
    (tmp_path / "text.npz").write_text("not a zip file")
    with pytest.raises(UsageError, match=r"text.npz: not a .npz file"):
        prepare(Data(name="npz", path=str(tmp_path / "text.npz")))
    np.save(tmp_path / "single.npy", np.zeros(3))
    with pytest.raises(UsageError, match=r"single.npy: a single array"):
        prepare(Data(name="npz", path=str(tmp_path / "single.npy")))
