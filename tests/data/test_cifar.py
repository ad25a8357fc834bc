import gzip
import json
import resource
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlplab.data import batches, load, parquet
from mlplab.data.published import CIFAR10, CIFAR100
from mlplab.errors import DataError
from mlplab.recipes.recipe import Data

SETTINGS = {name: Data(name=name) for name in ("cifar10", "cifar100")}
LAYOUTS = ["hub", "batches", "archive", "keras", "class folders"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_every_layout_gives_the_same_images(
    name: str, layout: str, make: SimpleNamespace, nowhere: Path
) -> None:
    make.layout(layout, nowhere / "data", name)
    dataset = load(SETTINGS[name], nowhere / "data")
    kind = {"cifar10": CIFAR10, "cifar100": CIFAR100}[name]
    assert dataset.class_names == kind.class_names
    for split, each in ((dataset.train, 2), (dataset.test, 1)):
        images, labels = make.sample(kind, each)
        # Class folders come class by class; the other layouts keep the published order.
        order = np.argsort(labels, kind="stable") if layout == "class folders" else ...
        assert (split.images == images[order]).all()
        assert (split.labels == labels[order]).all()
        assert (split.index == np.arange(len(labels))).all()
        assert (split.images.dtype, split.labels.dtype) == (np.uint8, np.int32)


def test_the_same_data_have_the_same_id_whatever_their_layout(
    make: SimpleNamespace, nowhere: Path
) -> None:
    ids = set()
    for layout in ("hub", "batches", "archive"):
        make.layout(layout, nowhere / layout, "cifar10")
        ids.add(load(SETTINGS["cifar10"], nowhere / layout).data_id)
    assert len(ids) == 1
    assert ids.pop().startswith("sha256:")


@pytest.mark.parametrize("subfolder", ["plain_text", "data", "."])
def test_the_hub_s_subfolders_and_the_folder_itself_are_searched(
    subfolder: str, make: SimpleNamespace, nowhere: Path
) -> None:
    make.layout("hub", nowhere / "made", "cifar10")
    home = nowhere / "data" / subfolder
    home.parent.mkdir(exist_ok=True)
    (nowhere / "made" / "cifar10").rename(home)
    assert len(load(SETTINGS["cifar10"], nowhere / "data").train) == 20


def test_places_are_searched_in_order(
    make: SimpleNamespace, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLPLAB_DATA_DIR", str(nowhere / "env"))
    said: list[str] = []
    for place in ("cache", "keras/datasets", "env", "given"):
        make.layout("hub", nowhere / place, "cifar10")
        load(SETTINGS["cifar10"], nowhere / "given", said.append)
        assert f"the one in {nowhere / place}" in said[-1] or place == "given"
    assert len(said) == 3


def test_missing_data_name_the_three_ways_out(nowhere: Path) -> None:
    with pytest.raises(DataError) as error:
        load(SETTINGS["cifar100"], nowhere / "typo")
    for words in ("typo", "mlplab data fetch cifar100", "--data-dir", "train quickstart"):
        assert words in str(error.value)
    assert str(error.value).count("\n") == 1


def refused(nowhere: Path, name: str = "cifar10") -> str:
    with pytest.raises(DataError) as error:
        load(SETTINGS[name], nowhere)
    assert str(error.value).count("\n") <= 1
    return str(error.value)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
@pytest.mark.parametrize(
    ("layout", "name"),
    [
        ("hub", "cifar10/train-00001-of-00002.parquet"),
        ("batches", "cifar-10-batches-py/data_batch_3"),
        ("archive", "cifar-10-python.tar.gz"),
    ],
)
def test_truncated_files_are_named(
    layout: str, name: str, share: float, make: SimpleNamespace, nowhere: Path
) -> None:
    make.layout(layout, nowhere, "cifar10")
    path = nowhere / name
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    message = refused(nowhere)
    assert str(path) in message
    assert "mlplab data fetch cifar10" in message


def test_flipped_bytes_in_parquet_never_pass_for_data(make: SimpleNamespace, nowhere: Path) -> None:
    make.layout("hub", nowhere, "cifar10")
    path = nowhere / "cifar10/test-00000-of-00001.parquet"
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 3] ^= 0xFF
    path.write_bytes(damaged)
    assert str(path) in refused(nowhere)


def test_an_archive_is_checked_to_its_end(make: SimpleNamespace, nowhere: Path) -> None:
    make.layout("archive", nowhere, "cifar10")
    path = nowhere / CIFAR10.archive
    padded = gzip.decompress(path.read_bytes()) + bytes(1_000_000)  # as tar pads to full records
    damaged = bytearray(gzip.compress(padded))
    damaged[-8] ^= 0xFF  # gzip's checksum of the content
    path.write_bytes(damaged)
    assert str(path) in refused(nowhere)


def test_a_missing_file_of_several_is_named(make: SimpleNamespace, nowhere: Path) -> None:
    make.layout("hub", nowhere, "cifar10")
    (nowhere / "cifar10/train-00001-of-00002.parquet").unlink()
    assert "1 of 2 files train-*.parquet" in refused(nowhere)
    make.layout("batches", nowhere / "100", "cifar100")
    (nowhere / "100/cifar-100-python/test").unlink()
    assert "test is missing" in refused(nowhere / "100", "cifar100")


def test_another_data_set_s_columns_are_refused(make: SimpleNamespace, nowhere: Path) -> None:
    make.layout("hub", nowhere / "made", "cifar10")
    (nowhere / "made/cifar10").rename(nowhere / "cifar100")
    assert "columns img and fine_label, but has img, label" in refused(nowhere, "cifar100")


@pytest.mark.parametrize("label", [-1, 10])
def test_labels_without_a_class_are_refused(
    label: int, make: SimpleNamespace, nowhere: Path
) -> None:
    make.layout("hub", nowhere, "cifar10")
    images, labels = make.sample(CIFAR10, 1)
    labels[4] = label
    make.parquet(nowhere / "cifar10/test-00000-of-00001.parquet", CIFAR10, images, labels)
    assert "labels outside 0 to 9" in refused(nowhere)


def test_images_of_another_size_are_refused(make: SimpleNamespace, nowhere: Path) -> None:
    make.layout("hub", nowhere, "cifar10")
    images = np.zeros((1, 64, 64, 3), np.uint8)
    make.parquet(nowhere / "cifar10/test-00000-of-00001.parquet", CIFAR10, images, [0])
    assert "RGB of 64×64" in refused(nowhere)


def test_labels_and_pixels_of_different_number_are_refused(
    make: SimpleNamespace, nowhere: Path
) -> None:
    make.layout("batches", nowhere, "cifar10")
    batch = {b"data": np.zeros((3, 3072), np.uint8), b"labels": [0, 1]}
    (nowhere / CIFAR10.folder / "test_batch").write_bytes(make.python2_pickle(batch))
    assert "2 labels, but pixels of (3, 3072)" in refused(nowhere)


def test_an_archive_s_links_and_other_members_are_not_unpacked(
    make: SimpleNamespace, nowhere: Path
) -> None:
    make.layout("batches", nowhere / "made", "cifar10")
    (nowhere / "secret").write_text("not for reading")
    with tarfile.open(nowhere / CIFAR10.archive, "w:gz") as archive:
        link = tarfile.TarInfo(f"{CIFAR10.folder}/data_batch_1")
        link.type, link.linkname = tarfile.SYMTYPE, str(nowhere / "secret")
        archive.addfile(link)
        archive.add(nowhere / "secret", "../outside")
    assert "data_batch_1 is missing" in refused(nowhere)
    assert not (nowhere.parent / "outside").exists()


def header(size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """The head of a member that declares a size in bytes."""
    member = tarfile.TarInfo(f"{CIFAR10.folder}/data_batch_1")
    member.size, member.type = size, kind
    return member.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(header(2**40), id="a terabyte announced"),
        pytest.param(header(2**29, tarfile.XHDTYPE) + bytes(2**22), id="half a gigabyte of header"),
        pytest.param(header(-512), id="a negative size"),
        pytest.param(gzip.compress(header(0) + bytes(2**23)), id="an archive in the archive"),
        pytest.param(1100 * header(0), id="too many members"),
        pytest.param(header(3 * 2**20) + bytes(2**23), id="many times its size"),
    ],
)
def test_an_archive_that_would_fill_disk_or_memory_is_refused(
    content: bytes, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "LARGEST", 2**22)
    (nowhere / CIFAR10.archive).write_bytes(gzip.compress(content, 1))
    assert CIFAR10.archive in refused(nowhere)


def test_parquet_that_unpacks_to_much_more_is_refused(
    make: SimpleNamespace, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make.layout("hub", nowhere, "cifar10")
    monkeypatch.setattr(parquet, "LARGEST", 2**20)
    packed = {"img": [{"bytes": bytes(2**21)}], "label": [0]}
    pq.write_table(pa.table(packed), nowhere / "cifar10/test-00000-of-00001.parquet")
    assert "unpacks to more than 1,048,576 bytes" in refused(nowhere)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"img": [{"bytes": b"no image"}], "label": [0]}, "not an image"),
        ({"img": [{"bytes": None}], "label": [0]}, "is missing|no encoded images"),
        ({"img": [b"bytes alone"], "label": [0]}, "no encoded images"),
        ({"img": [{"bytes": "/etc/passwd"}], "label": [0]}, "no encoded images"),
        ({"img": [{"bytes": 7}], "label": [0]}, "no encoded images"),
        ({"img": [{"bytes": b"x"}], "label": [None]}, "gaps|no whole numbers"),
        ({"img": [{"bytes": b"x"}], "label": ["cat"]}, "no whole numbers"),
        ({"img": [{"bytes": b"x"}], "label": [2**62]}, "outside 0 to 9"),
        ({"label": [0]}, "should have the columns"),
    ],
)
def test_columns_of_another_kind_are_refused(
    table: Any, words: str, make: SimpleNamespace, nowhere: Path
) -> None:
    make.layout("hub", nowhere, "cifar10")
    pq.write_table(pa.table(table), nowhere / "cifar10/test-00000-of-00001.parquet")
    with pytest.raises(DataError, match=words):
        load(SETTINGS["cifar10"], nowhere)


@pytest.mark.parametrize("names", [[1] * 10, ["a"] * 9, "a word", None, [["a"]] * 10])
def test_class_names_that_are_no_words_are_refused_or_left(
    names: Any, make: SimpleNamespace, nowhere: Path
) -> None:
    make.layout("hub", nowhere, "cifar10")
    path = nowhere / "cifar10/train-00000-of-00002.parquet"
    features = {"features": {"label": {"names": names}}}
    metadata = {"huggingface": json.dumps({"info": features})}
    pq.write_table(pq.read_table(path).replace_schema_metadata(metadata), path)
    if names is None:
        assert load(SETTINGS["cifar10"], nowhere).class_names == CIFAR10.class_names
    else:
        assert "classes" in refused(nowhere)


def test_class_folders_that_lack_a_class_are_refused(make: SimpleNamespace, nowhere: Path) -> None:
    make.layout("class folders", nowhere, "cifar10")
    for split in ("train", "test"):
        (nowhere / "cifar10" / split / "ship").rename(nowhere / "cifar10" / split / "boat")
    assert "boat, ship" in refused(nowhere)


def test_names_are_published_alphabetically() -> None:
    for kind, classes in ((CIFAR10, 10), (CIFAR100, 100)):
        assert len(set(kind.class_names)) == classes
        assert list(kind.class_names) == sorted(kind.class_names)


def test_the_real_cifar10(cifar10_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(SETTINGS["cifar10"], cifar10_dir)
    again = load(SETTINGS["cifar10"], cifar10_dir)
    assert first.train.images.shape == (50_000, 32, 32, 3)
    assert first.test.images.shape == (10_000, 32, 32, 3)
    assert (np.bincount(first.train.labels) == 5_000).all()
    assert (np.bincount(first.test.labels) == 1_000).all()
    assert first.train.images.mean(axis=(0, 1, 2)).round(1).tolist() == [125.3, 123.0, 113.9]
    assert again.data_id == first.data_id
    assert (again.train.images == first.train.images).all()


def test_a_value_that_many_rows_share_is_in_memory_once(
    make: SimpleNamespace, nowhere: Path
) -> None:
    make.layout("hub", nowhere, "cifar10")
    value = pa.DictionaryArray.from_arrays(pa.array([0] * 100), pa.array([bytes(40_000_000)]))
    table = pa.table({"img": pa.StructArray.from_arrays([value], ["bytes"]), "label": [0] * 100})
    path = nowhere / "cifar10/test-00000-of-00001.parquet"
    pq.write_table(table, path, store_schema=False, dictionary_pagesize_limit=2**30)
    assert path.stat().st_size < 100_000_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "images are too large" in refused(nowhere)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < 1e9  # of 4e9, one value for each row
