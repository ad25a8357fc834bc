"""MNIST and data sets made like it: IDX files, packed or not."""

import gzip
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from mlplab import data
from mlplab.data.fetch import fetch
from mlplab.data.idx import EMNIST, EMNIST_LETTERS, FASHION_MNIST, FILES, KMNIST, MNIST, Idx
from mlplab.errors import DataError
from mlplab.recipes.recipe import Data, DataName

IMAGES = np.random.default_rng(0).integers(0, 256, (30, 28, 28), np.uint8)
LABELS = (np.arange(30) % 10).astype(np.uint8)


def idx(array: np.ndarray) -> bytes:
    header = struct.pack(f">{1 + array.ndim}i", 0x800 + array.ndim, *array.shape)
    return header + array.tobytes()


def put(
    folder: Path, packed: bool = True, files: Sequence[str] = FILES, labels: np.ndarray = LABELS
) -> Path:
    """Write 20 images to train and 10 to test on."""
    folder.mkdir(parents=True)
    arrays = (IMAGES[:20], labels[:20], IMAGES[20:], labels[20:])
    for name, array in zip(files, arrays, strict=True):
        content = gzip.compress(idx(array)) if packed else idx(array)
        (folder / (name if packed else name.removesuffix(".gz"))).write_bytes(content)
    return folder


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPLAB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("MLPLAB_DATA_DIR", raising=False)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("name", "folder"),
    [("mnist", "mnist"), ("fashion_mnist", "FashionMNIST/raw"), ("kmnist", "KMNIST/raw")],
)
def test_images_and_labels_are_read(
    name: DataName, folder: str, packed: bool, tmp_path: Path
) -> None:
    put(tmp_path / "data" / folder, packed)
    dataset = data.load(Data(name=name), tmp_path / "data")
    kinds = {kind.name: kind for kind in (MNIST, FASHION_MNIST, KMNIST)}
    assert dataset.class_names == kinds[name].class_names
    np.testing.assert_array_equal(dataset.train.images[..., 0], IMAGES[:20])
    np.testing.assert_array_equal(dataset.test.images[..., 0], IMAGES[20:])
    np.testing.assert_array_equal(dataset.test.labels, LABELS[20:])


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content[:-1],
        lambda content: content + b"1",
        lambda content: b"\0\0\x09" + content[3:],
        lambda content: content[:4] + struct.pack(">i", 2**31 - 1) + content[8:],
        lambda content: content[:10],
    ],
    ids=["shorter", "longer", "another type", "more images", "half a header"],
)
@pytest.mark.parametrize("number", [0, 1])
def test_a_changed_file_is_refused(
    change: Callable[[bytes], bytes], number: int, tmp_path: Path
) -> None:
    path = put(tmp_path / "data" / "mnist") / FILES[number]
    path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes()))))
    with pytest.raises(DataError, match="mlplab data fetch mnist"):
        data.load(Data(name="mnist"), tmp_path / "data")


def test_a_torn_archive_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "data" / "mnist") / FILES[2]
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="truncated, damaged or no file of mnist"):
        data.load(Data(name="mnist"), tmp_path / "data")


def test_images_that_are_nowhere_are_said_how_to_get(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="mlplab data fetch fashion_mnist"):
        data.load(Data(name="fashion_mnist"), tmp_path)


@pytest.mark.parametrize("kind", [EMNIST, EMNIST_LETTERS])
@pytest.mark.parametrize("folder", ["emnist", "EMNIST/raw"])
def test_emnist_is_turned_upright(kind: Idx, folder: str, tmp_path: Path) -> None:
    labels = (LABELS + kind.first).astype(np.uint8)
    put(tmp_path / folder, "raw" not in folder, kind.files, labels)
    dataset = data.load(Data.model_validate({"name": kind.name}), tmp_path)
    np.testing.assert_array_equal(dataset.train.images[..., 0], IMAGES[:20].transpose(0, 2, 1))
    np.testing.assert_array_equal(dataset.test.labels, LABELS[20:])


def test_emnist_s_labels_have_the_published_names() -> None:
    assert len(EMNIST.class_names) == 47
    # From its published mapping of labels to characters.
    assert [EMNIST.class_names[label] for label in (0, 10, 35, 36, 46)] == ["0", "A", "Z", "a", "t"]
    assert len(EMNIST_LETTERS.class_names) == 26


@pytest.mark.parametrize("labels", [LABELS, LABELS + 20])
def test_letters_are_numbered_from_one(labels: np.ndarray, tmp_path: Path) -> None:
    put(tmp_path / "emnist", True, EMNIST_LETTERS.files, labels.astype(np.uint8))
    with pytest.raises(DataError, match=r"a label (0|27).*\n.*copy it again") as error:
        data.load(Data(name="emnist_letters"), tmp_path)
    assert "data fetch" not in str(error.value)


def test_emnist_is_said_where_to_get(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Download https://.*/EMNIST/gzip\.zip"):
        data.load(Data(name="emnist"), tmp_path)
    with pytest.raises(DataError, match=r"(?s)one archive.*gzip\.zip and unpack its files"):
        fetch("emnist", tmp_path)
