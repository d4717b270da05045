"""Minibatches: decided by seed and step, augmented as a slow loop over images would, normalised, without repeats."""

import numpy as np
import pytest
import torch
from torch.nn.functional import pad

from gradbench.case.schema import Data
from gradbench.data import DATASETS
from gradbench.data.arrays import Arrays, channel_statistics
from gradbench.data.batches import Batches
from gradbench.data.dataset import Dataset
from gradbench.errors import UsageError


def dataset(images: int = 50, size: int = 9, seed: int = 0) -> Dataset:
    random = np.random.default_rng(seed)
    x = random.integers(0, 256, (images + 7, size, size, 3), dtype=np.uint8)
    y = np.arange(images + 7)  # a label names its image
    arrays = Arrays(x[:images], y[:images], x[images:], y[images:])
    return Dataset.from_arrays("made", arrays, images + 7, torch.device("cpu"))


def pixels(data: Dataset, x: torch.Tensor) -> torch.Tensor:
    """Undo the normalisation."""
    return (x * data.std[:, None, None] + data.mean[:, None, None]).mul(255).round().to(torch.uint8)


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    data, settings = dataset(), Data(batch_size=8, crop=3, flip=True)
    forward, backward = Batches(data, settings, 5), Batches(data, settings, 5)
    steps = range(2 * forward.per_epoch)
    first = [forward.batch(step) for step in steps]
    second = [backward.batch(step) for step in reversed(steps)][::-1]
    for (x, y), (again, labels) in zip(first, second, strict=True):
        assert torch.equal(x, again)
        assert torch.equal(y, labels)
    other = Batches(data, settings, 6).batch(0)
    assert not torch.equal(other[1], first[0][1])


def test_the_global_random_state_neither_matters_nor_moves() -> None:
    data, settings = dataset(), Data(batch_size=8, crop=3, flip=True)
    torch.manual_seed(1)
    x, _ = Batches(data, settings, 0).batch(0)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    again, _ = Batches(data, settings, 0).batch(0)
    assert torch.equal(x, again)
    assert torch.equal(before, torch.get_rng_state())


def test_an_epoch_shows_every_image_at_most_once_and_the_next_one_in_another_order() -> None:
    batches = Batches(dataset(images=50), Data(batch_size=8), 3)
    assert batches.per_epoch == 6
    epochs = [torch.cat([batches.batch(6 * epoch + i)[1] for i in range(6)]) for epoch in range(2)]
    assert all(len(epoch.unique()) == 48 for epoch in epochs)
    assert not torch.equal(*epochs)


@pytest.mark.parametrize(("crop", "flip"), [(0, False), (4, False), (0, True), (3, True), (8, True)])
def test_every_image_is_one_crop_of_its_reflected_original(crop: int, flip: bool) -> None:
    data = dataset(size=9, seed=crop)
    batches = Batches(data, Data(batch_size=16, crop=crop, flip=flip), 11)
    seen = set()
    for step in range(6):
        x, y = batches.batch(step)
        for image, label in zip(pixels(data, x), y.tolist(), strict=True):
            padded = pad(data.x_train[label : label + 1].float(), (crop,) * 4, mode="reflect")[0].to(torch.uint8)
            windows = {
                (down, right, turned): window.flip(-1) if turned else window
                for down in range(2 * crop + 1)
                for right in range(2 * crop + 1)
                for window in [padded[:, down : down + 9, right : right + 9]]
                for turned in ([False, True] if flip else [False])
            }
            matches = [key for key, window in windows.items() if torch.equal(window, image)]
            assert len(matches) >= 1
            seen.update(matches[:1])
    assert {turned for *_, turned in seen} == ({False, True} if flip else {False})
    if crop:
        assert len({down for down, *_ in seen}) > crop
        assert len({right for _, right, _ in seen}) > crop


def test_cutout_hides_one_square_of_each_training_image_and_no_test_image() -> None:
    side, plain = 3, Data(name="synthetic", batch_size=32, image_size=8, crop=1, flip=True)
    data = DATASETS["synthetic"].load()(plain, torch.device("cpu"), 0)
    x, y = Batches(data, plain, 4).batch(2)
    cut, labels = Batches(data, plain.model_copy(update={"cutout": side}), 4).batch(2)
    assert torch.equal(y, labels)
    squares = set()
    for image, whole in zip(cut, x, strict=True):
        rows, columns = ((image != whole).any(0)).nonzero().unbind(1)
        top, left = int(rows.min()), int(columns.min())
        expected = whole.clone()
        expected[:, top : top + side, left : left + side] = 0
        assert torch.equal(image, expected)
        squares.add((top, left))
    assert len(squares) > 8
    assert next(iter(Batches(data, plain.model_copy(update={"cutout": 8}), 4).test(4)))[0].any()


def test_a_batch_is_normalised_with_the_statistics_of_the_training_images() -> None:
    data = dataset(images=40)
    x, _ = Batches(data, Data(batch_size=40), 0).batch(0)
    assert x.dtype == torch.float32
    flat = x.double().transpose(0, 1).flatten(1)
    torch.testing.assert_close(flat.mean(1), torch.zeros(3, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(flat.std(1, correction=0), torch.ones(3, dtype=torch.float64), atol=1e-6, rtol=0)


def test_statistics_are_those_of_numpy_in_float64() -> None:
    images = np.random.default_rng().integers(0, 256, (31, 5, 7, 3), dtype=np.uint8)
    mean, std = channel_statistics(images)
    scaled = images.astype(np.float64) / 255
    np.testing.assert_allclose(mean, scaled.mean((0, 1, 2)), rtol=1e-13)
    np.testing.assert_allclose(std, scaled.std((0, 1, 2)), rtol=1e-12)


def test_fresh_minibatches_share_no_image_and_repeat() -> None:
    batches = Batches(dataset(images=50), Data(batch_size=8, crop=2, flip=True), 3)
    fresh = batches.fresh(6)
    labels = torch.cat([y for _, y in fresh])
    assert len(fresh) == 6
    assert len(labels.unique()) == 48
    assert all(torch.equal(x, again) for (x, _), (again, _) in zip(fresh, batches.fresh(6), strict=True))
    assert not torch.equal(fresh[0][1], batches.batch(0)[1])


def test_fresh_says_how_many_minibatches_are_possible() -> None:
    with pytest.raises(UsageError, match=r"measure.sgd_batches: made gives at most 6 minibatches of 8 .*, got 7"):
        Batches(dataset(images=50), Data(batch_size=8), 3).fresh(7)


def test_test_images_come_in_order_and_unaugmented() -> None:
    data = dataset(images=50)
    batches = Batches(data, Data(batch_size=4, crop=3, flip=True), 0)
    x, y = (torch.cat(parts) for parts in zip(*batches.test(), strict=True))
    assert y.tolist() == list(range(50, 57))
    assert torch.equal(pixels(data, x), data.x_test)
    assert [len(y) for _, y in batches.test(5)] == [4, 1]
    assert [len(y) for _, y in batches.test(5, batch_size=5)] == [5]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Data(batch_size=51), "data.batch_size: made has 50 training images, got 51"),
        (Data(batch_size=8, crop=9), "data.crop: must be below the image size 9, got 9"),
    ],
)
def test_settings_that_the_data_set_cannot_serve_are_refused(settings: Data, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Batches(dataset(images=50, size=9), settings, 0)


@pytest.mark.gpu
def test_a_batch_is_bitwise_the_same_on_a_gpu() -> None:
    settings = Data(batch_size=8, crop=3, flip=True)
    data = dataset()
    moved = Dataset(**{k: v.cuda() if isinstance(v, torch.Tensor) else v for k, v in vars(data).items()})
    for step in range(8):
        x, y = Batches(data, settings, 5).batch(step)
        moved_x, moved_y = Batches(moved, settings, 5).batch(step)
        assert torch.equal(x, moved_x.cpu())
        assert torch.equal(y, moved_y.cpu())
