"""The user's own images in Parquet files, and data sets of the Hugging Face hub."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mlplab.data import Dataset, hub, load, split
from mlplab.errors import DataError
from mlplab.recipes.recipe import Data

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8)
LABELS = (np.arange(40) % 4).tolist()
NAMES = ["ant", "bee", "cat", "dog"]


def read(path: Path | str, said: list[str] | None = None, **settings: Any) -> Dataset:
    tables = {"name": "folder", "path": str(path), "image_size": 8, **settings}
    return load(Data.model_validate(tables), warn=(said if said is not None else []).append)


def refused(path: Path | str) -> str:
    with pytest.raises(DataError) as error:
        read(path)
    assert str(error.value).count("\n") <= 1
    return str(error.value)


def png(image: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def write(
    path: Path,
    part: slice = slice(40),
    names: list[str] | None = NAMES,
    label: str = "label",
    bare: bool = False,
    **columns: Any,
) -> Path:
    encoded: list[Any] = [png(image) for image in IMAGES[part]]
    cells = encoded if bare else [{"bytes": content, "path": None} for content in encoded]
    table = pa.table({"image": cells, label: LABELS[part], **columns})
    if names is not None:
        features = {"features": {label: {"names": names, "_type": "ClassLabel"}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": features})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


@pytest.mark.parametrize(
    "files",
    [
        ["train-00000-of-00001.parquet", "validation-0.parquet", "test-00000-of-00001.parquet"],
        ["data/train.parquet", "data/valid.parquet", "data/test.parquet"],
        ["default/train/0000.parquet", "default/validation/0000.parquet", "default/test/0.parquet"],
    ],
)
def test_splits_are_recognised_by_names_of_files_and_folders(
    tmp_path: Path, files: list[str]
) -> None:
    for name, part in zip(files, (slice(20), slice(20, 28), slice(28, 40)), strict=True):
        write(tmp_path / name, part)
    said: list[str] = []
    dataset = read(tmp_path, said)
    parts = split(dataset, 0.3, seed=0)
    assert dataset.class_names == tuple(NAMES)
    np.testing.assert_array_equal(parts.train.images, IMAGES[:20])
    np.testing.assert_array_equal(parts.validation.images, IMAGES[20:28])
    np.testing.assert_array_equal(parts.test.labels, LABELS[28:])
    assert f"12 images for testing ({files[2]})" in said[-1]
    assert dataset.image_name("test", 3) == f"{files[2]} row 3"


def test_one_file_is_divided_and_is_the_same_data_at_every_size(tmp_path: Path) -> None:
    path = write(tmp_path / "own.parquet", bare=True, names=None)
    small, large = read(path), read(path, image_size=16)
    assert small.class_names == ("0", "1", "2", "3")
    assert [len(small.train), len(small.test)] == [32, 8]
    assert small.data_id != large.data_id
    assert small.source_id == large.source_id
    assert read(tmp_path).data_id == small.data_id


def test_labels_may_be_text(tmp_path: Path) -> None:
    words = [NAMES[label] for label in LABELS]
    path = write(tmp_path / "own.parquet", label="number", names=None, label_=words)
    table = pq.read_table(path).rename_columns(["image", "number", "class"])
    pq.write_table(table, path)
    assert read(path).class_names == tuple(NAMES)


def test_a_split_whose_labels_are_secret_is_not_used(tmp_path: Path) -> None:
    write(tmp_path / "train-0.parquet")
    path = write(tmp_path / "test-0.parquet", slice(8))
    secret = pq.read_table(path).set_column(1, "label", pa.array([-1] * 8))
    pq.write_table(secret, path)
    said: list[str] = []
    dataset = read(tmp_path, said)
    assert [len(dataset.train), len(dataset.test)] == [32, 8]
    assert said[0] == f"the test split of {tmp_path} is not used: it has no labels"


def test_grey_images_have_one_channel_and_unreadable_ones_are_named(tmp_path: Path) -> None:
    grey = [png(image[..., 0]) for image in IMAGES]
    grey[5] = b"damaged"
    pq.write_table(pa.table({"image": grey, "label": LABELS}), tmp_path / "own.parquet")
    dataset = read(tmp_path)
    assert dataset.train.images.shape == (31, 8, 8, 1)
    assert dataset.skipped == ("own.parquet row 5: not an image, or damaged",)


def test_files_of_which_no_image_can_be_read_are_refused(tmp_path: Path) -> None:
    damaged = pa.table({"image": [b"damaged"] * 4, "label": [0, 1, 0, 1]})
    pq.write_table(damaged, tmp_path / "own.parquet")
    message = refused(tmp_path)
    assert "no image of the train split can be read" in message
    assert "row 0: not an image, or damaged" in message


def test_a_table_in_a_class_folder_changes_nothing(tmp_path: Path) -> None:
    for number, name in enumerate("ab"):
        (tmp_path / name).mkdir()
        for n in range(4):
            Image.fromarray(IMAGES[4 * number + n]).save(tmp_path / name / f"{n}.png")
    before = read(tmp_path)
    write(tmp_path / "features.parquet")
    assert read(tmp_path).data_id == before.data_id


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.rename_columns(["image", "kind"]), "no column of labels"),
        (lambda t: t.drop_columns(["image"]), "no column of images: its columns are label"),
        (lambda t: t.append_column("class", t["label"]), "several columns that may be its labels"),
        (lambda t: t.set_column(1, "label", pa.array([0] * 40)), "has 1 class"),
        (lambda t: t.set_column(1, "label", pa.array([None, *LABELS[1:]])), "have no label"),
    ],
)
def test_what_is_wrong_with_columns_is_named(tmp_path: Path, change: Any, words: str) -> None:
    path = write(tmp_path / "own.parquet", names=None)
    pq.write_table(change(pq.read_table(path)), path)
    assert words in refused(path)


def test_files_that_are_missing_damaged_or_of_several_data_sets_are_refused(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "a" / "train-00000-of-00002.parquet")
    assert "1 of 2 files of its train split" in refused(tmp_path)
    write(tmp_path / "b" / "train-00001-of-00002.parquet")
    assert "several data sets: a, b" in refused(tmp_path)
    path.rename(tmp_path / "a" / "test-0.parquet")
    assert "no training split" in refused(tmp_path / "a")
    write(tmp_path / "a" / "others.parquet")
    assert "others.parquet is of no split" in refused(tmp_path / "a")
    path.write_bytes(b"PAR1")
    assert "damaged or no Parquet file" in refused(path)


def test_places_of_the_hub_are_read_and_written() -> None:
    for place in ("hf://owner/name", "hf://datasets/owner/name", "hf://owner/name@1a2b"):
        assert hub.unpinned(place) == "hf://owner/name"
    assert hub.unpinned("hf://owner/name@refs/convert/parquet/small") == "hf://owner/name/small"
    for place in ("hf://name", "hf://owner/name/../other", "hf://"):
        assert "write hf://owner/name" in refused(place)


def test_a_hub_that_cannot_be_reached_is_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    message = refused("hf://nobody/nothing")
    assert "hf://nobody/nothing cannot be downloaded" in message
    assert "copy its Parquet files into a folder" in message


def test_without_the_package_of_the_hub_its_name_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "find_spec", lambda name: None)
    assert "pip install 'mlplab[hf]'" in refused("hf://owner/name")


def test_a_data_set_in_the_hub_s_cache_is_read_at_its_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huggingface_hub")
    root = tmp_path / "datasets--owner--name"
    write(root / "snapshots" / ("a" * 40) / "data" / "train-0.parquet")
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("a" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    said: list[str] = []
    for place in ("hf://owner/name", "hf://owner/name/data", f"hf://owner/name@{'a' * 40}"):
        assert len(read(place, said).train) == 32
        assert said[-1].startswith(f"{place} has 32 images")
    assert hub.pinned("hf://owner/name/data") == f"hf://owner/name@{'a' * 40}/data"
