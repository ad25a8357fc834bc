"""Small data sets in the layouts that the published ones come in."""

import io
import json
import pickle
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mlplab.data.published import CIFAR10, CIFAR100, Published


class Python2Pickler(pickle._Pickler):
    """Writes bytes as the published batches have them: as Python 2's ``str``."""

    def save_str(self, value: bytes) -> None:
        opcode = pickle.BINSTRING + struct.pack("<i", len(value))
        self.write(opcode + value)  # type: ignore[attr-defined]

    dispatch: Any = pickle._Pickler.dispatch | {bytes: save_str}  # type: ignore[misc]


def python2_pickle(value: Any) -> bytes:
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(value)
    return file.getvalue().replace(b"cnumpy._core.", b"cnumpy.core.")


def sample(kind: Published, each: int) -> tuple[np.ndarray, np.ndarray]:
    """Random images, ``each`` of every class, in random order."""
    rng = np.random.default_rng(each)
    labels = rng.permutation(np.repeat(np.arange(len(kind.class_names)), each))
    return rng.integers(0, 256, (len(labels), 32, 32, 3), dtype=np.uint8), labels


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def write_parquet(path: Path, kind: Published, images: Any, labels: Any) -> None:
    cells = [{"bytes": png(image), "path": None} for image in images]
    table = pa.table({"img": cells, kind.column: labels})
    features = {"features": {kind.column: {"names": kind.class_names}}}
    metadata = {"huggingface": json.dumps({"info": features})}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata(metadata), path)


def write_hub(folder: Path, kind: Published) -> None:
    images, labels = sample(kind, 2)
    half = len(labels) // 2
    for number, part in enumerate((slice(half), slice(half, None))):
        name = f"train-{number:05}-of-00002.parquet"
        write_parquet(folder / kind.name / name, kind, images[part], labels[part])
    write_parquet(folder / kind.name / "test-00000-of-00001.parquet", kind, *sample(kind, 1))


def write_batches(folder: Path, kind: Published) -> None:
    root = folder / kind.folder
    root.mkdir(parents=True)
    for names, each in ((kind.train_files, 2), (kind.test_files, 1)):
        images, labels = sample(kind, each)
        parts = np.split(np.arange(len(labels)), len(names))
        for name, part in zip(names, parts, strict=True):
            flat = np.ascontiguousarray(images[part].transpose(0, 3, 1, 2)).reshape(len(part), -1)
            batch = {b"data": flat, kind.labels_key.encode(): labels[part].tolist()}
            (root / name).write_bytes(python2_pickle(batch))
    class_names = [name.encode() for name in kind.class_names]
    (root / kind.meta_file).write_bytes(python2_pickle({kind.names_key.encode(): class_names}))


def write_archive(folder: Path, kind: Published) -> None:
    write_batches(folder / "unpacked", kind)
    with tarfile.open(folder / kind.archive, "w:gz", compresslevel=1) as archive:
        archive.add(folder / "unpacked" / kind.folder, kind.folder)


def write_keras(folder: Path, kind: Published) -> None:
    write_batches(folder / f"{kind.folder}-target", kind)


def write_class_folders(folder: Path, kind: Published) -> None:
    for split, each in (("train", 2), ("test", 1)):
        for number, (image, label) in enumerate(zip(*sample(kind, each), strict=True)):
            path = folder / kind.name / split / kind.class_names[label] / f"{number:04}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(image))


WRITERS: dict[str, Callable[[Path, Published], None]] = {
    "hub": write_hub,
    "batches": write_batches,
    "archive": write_archive,
    "keras": write_keras,
    "class folders": write_class_folders,
}


@pytest.fixture
def make() -> SimpleNamespace:
    """The functions above, under short names."""
    return SimpleNamespace(
        layout=lambda layout, folder, name: WRITERS[layout](
            folder, {"cifar10": CIFAR10, "cifar100": CIFAR100}[name]
        ),
        sample=sample,
        png=png,
        parquet=write_parquet,
        python2_pickle=python2_pickle,
    )


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which no data set lies anywhere yet."""
    monkeypatch.delenv("MLPLAB_DATA_DIR", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("MLPLAB_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path
