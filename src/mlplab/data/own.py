"""The user's own images, in any of the layouts that they come in."""

from collections.abc import Callable
from pathlib import Path

from mlplab.data import folder, given, listed, npz, parquet_files
from mlplab.data.cache import Warn
from mlplab.data.dataset import Dataset
from mlplab.data.hub import SCHEME, downloaded
from mlplab.data.layout import EXPECTED
from mlplab.errors import DataError
from mlplab.files import expanded
from mlplab.recipes.recipe import Data

FILES: dict[str, Callable[[Path, Data, Warn], Dataset]] = {
    ".npz": npz.load,
    ".csv": listed.load,
    ".tsv": listed.load,
    ".parquet": parquet_files.load,
}
"""What reads a file, by its ending."""


def load(settings: Data, data_dir: Path | None, warn: Warn) -> Dataset:
    """Return the images of ``settings.path``.

    Without a test split, a share of ``settings.test`` of each class becomes the test split: the
    same images whatever the recipe's seed.

    Raises:
        DataError: nothing is there, its layout is ambiguous, or it is damaged or unsuitable.
    """
    place = settings.path or ""
    if place.startswith((given.SCHEME, SCHEME)):
        _check_nothing_excluded(settings)
    if place.startswith(given.SCHEME):
        return given.load(settings, data_dir, warn)
    path = downloaded(place) if place.startswith(SCHEME) else expanded(place)
    if path.is_file():
        read = FILES.get(path.suffix.lower())
        if read is None:
            raise DataError(
                f"data.path: '{path}' is no file of images with labels; these end in"
                f" {', '.join(FILES)}"
            )
        if read is not listed.load:
            _check_nothing_excluded(settings)
        return read(path, settings, warn)
    if not path.is_dir():
        raise DataError(f"data.path: there is no folder or file '{path}'; {EXPECTED}")
    try:
        lists = listed.lists_in(path, warn)
        tables = not lists and parquet_files.are_in(path)
    except OSError as error:
        raise DataError(f"{error.filename} cannot be listed: {error.strerror}") from None
    if lists:
        return listed.load_lists(path, lists, settings, warn)
    if tables:
        _check_nothing_excluded(settings)
        return parquet_files.load(path, settings, warn)
    return folder.load(settings, data_dir, warn)


def _check_nothing_excluded(settings: Data) -> None:
    if settings.exclude is not None:
        raise DataError(
            "data.exclude leaves out image files of a folder or of a CSV list; leave the images out"
            " of these data instead"
        )
