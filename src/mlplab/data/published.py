"""Where published data sets are looked for, and facts about CIFAR as its author published it.

Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mlplab.cache import cache_dir
from mlplab.data.cache import Source, Warn, decoded
from mlplab.data.dataset import Dataset, Download
from mlplab.errors import DataError

SHAPE = (32, 32, 3)
LARGEST = 2**29
"""Bytes that a copy may unpack to; the published ones hold 186 MB."""

BASE_URL = "https://www.cs.toronto.edu/~kriz/"

CIFAR10_NAMES = "airplane automobile bird cat deer dog frog horse ship truck"
CIFAR100_NAMES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch
crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo
keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain
mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain
plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone
television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""


@dataclass(frozen=True)
class Published:
    """One published data set.

    Attributes:
        name: the name that a recipe gives it.
        class_names: the meaning of the labels, in the published order (which is alphabetical).
        column: the column of the labels in the Parquet layout.
        download: the published archive.
        folder: the one folder in the archive, with the files below.
        train_files, test_files: pickled batches.
        meta_file: a pickled dict that has the class names under ``names_key``.
        labels_key: where a batch has its labels.
    """

    name: str
    class_names: tuple[str, ...]
    column: str
    download: Download
    folder: str
    train_files: tuple[str, ...]
    test_files: tuple[str, ...]
    meta_file: str
    labels_key: str
    names_key: str

    @property
    def archive(self) -> str:
        """The file name of the published archive."""
        return next(iter(self.download.md5))

    def damaged(self, path: Path, cause: Exception) -> DataError:
        """Return the error for a file of this data set that cannot be read."""
        reason = str(cause).partition("\n")[0] or type(cause).__name__
        return DataError(
            f"{path} is truncated or damaged ({reason}).\n"
            f"Delete it and run `mlplab data fetch {self.name}`, or copy it again from its source."
        )

    def unsuitable(self, path: Path, reason: str) -> DataError:
        """Return the error for a whole file that does not hold this data set."""
        return DataError(
            f"{path} is not {self.name}: {reason}.\n"
            f"Put {self.name} there, or point --data-dir at another folder that holds it."
        )


CIFAR10 = Published(
    name="cifar10",
    class_names=tuple(CIFAR10_NAMES.split()),
    column="label",
    download=Download(BASE_URL, {"cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a"}),
    folder="cifar-10-batches-py",
    train_files=tuple(f"data_batch_{number}" for number in range(1, 6)),
    test_files=("test_batch",),
    meta_file="batches.meta",
    labels_key="labels",
    names_key="label_names",
)

CIFAR100 = Published(
    name="cifar100",
    class_names=tuple(CIFAR100_NAMES.split()),
    column="fine_label",
    download=Download(BASE_URL, {"cifar-100-python.tar.gz": "eb9058c3a382ffc7106e4002c42a8d85"}),
    folder="cifar-100-python",
    train_files=("train",),
    test_files=("test",),
    meta_file="meta",
    labels_key="fine_labels",
    names_key="fine_label_names",
)


def places(data_dir: Path | None) -> Iterator[Path]:
    """Yield the folders that are searched for published data sets, in order."""
    if data_dir is not None:
        yield data_dir.expanduser()
    if named := os.environ.get("MLPLAB_DATA_DIR"):
        yield Path(named).expanduser()
    keras = os.environ.get("KERAS_HOME")
    yield (Path(keras).expanduser() if keras else Path.home() / ".keras") / "datasets"
    yield cache_dir()


def find(
    name: str,
    folders: Iterable[str],
    look: Callable[[Path], Source | None],
    data_dir: Path | None,
    warn: Warn,
    how: str | None = None,
) -> Dataset:
    """Return the first data set that is found, decoded.

    Args:
        name: of the data set.
        folders: names of folders to look for in each place, in order.
        look: returns what is in such a folder.
        data_dir: the place to look in first.
        warn: called if it is in another one.
        how: what to do if it is nowhere; by default, to fetch it.

    Raises:
        DataError: it cannot be found, or is damaged.
    """
    for place in places(data_dir):
        for candidate in (place / folder for folder in folders):
            source = look(candidate)
            if source is None:
                continue
            if data_dir is not None and place != data_dir.expanduser():
                warn(f"{data_dir} does not hold {name}; the one in {candidate} is used")
            return decoded(source, warn)
    searched = ", ".join(dict.fromkeys(str(place) for place in places(data_dir)))
    if how is not None:
        raise DataError(f"{name} was not found in {searched}.\n{how}")
    raise DataError(
        f"{name} was not found in {searched}.\n"
        f"Run `mlplab data fetch {name}`, or point --data-dir or MLPLAB_DATA_DIR at a folder "
        f"that holds {name}/, or run `mlplab train quickstart`, which needs no download."
    )
