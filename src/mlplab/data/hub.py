"""Data sets of the Hugging Face hub, kept in its own cache."""

import re
from importlib.util import find_spec
from pathlib import Path

from mlplab.errors import DataError, first_line

SCHEME = "hf://"
PLACE = re.compile(
    r"hf://(?:datasets/)?([\w.-]+/[\w.-]+)(?:@(refs/\w+/\w+|[\w.-]+))?(?:/([\w./-]+))?"
)
CONVERTED = "refs/convert/parquet"
"""The revision in which the hub keeps data sets that were uploaded in another format."""


def downloaded(place: str) -> Path:
    """Return the local folder of the Parquet files of a data set, downloaded if needed.

    Args:
        place: ``hf://owner/name``, with ``@revision`` and ``/folder`` if wanted.

    Raises:
        DataError: the package ``huggingface_hub`` is missing, the hub cannot be reached, or it has
            no such data set or no Parquet files of it.
    """
    inner = _parts(place)[2]
    folder = _snapshot(place, local=False)
    return folder / inner if inner else folder


def pinned(place: str) -> str:
    """Return the place of a data set that was downloaded, with the revision that this was."""
    name, _, inner = _parts(place)
    revision = _snapshot(place, local=True).name
    return f"{SCHEME}{name}@{revision}" + (f"/{inner}" if inner else "")


def unpinned(place: str) -> str:
    """Return the place of a data set without a revision."""
    name, _, inner = _parts(place)
    return f"{SCHEME}{name}" + (f"/{inner}" if inner else "")


def _parts(place: str) -> tuple[str, str | None, str | None]:
    """Return the name, the revision and the folder that a place names."""
    found = PLACE.fullmatch(place)
    if found is None or ".." in place:
        raise DataError(f"data.path: '{place}' is no data set of the hub; write hf://owner/name")
    name, revision, inner = found.groups()
    return name, revision, inner


def _snapshot(place: str, local: bool) -> Path:
    """Return the folder of a whole revision, which is named by it."""
    if find_spec("huggingface_hub") is None:
        raise DataError(f"{place} needs the package huggingface_hub: pip install 'mlplab[hf]'")
    from huggingface_hub import snapshot_download

    name, revision, inner = _parts(place)
    wanted = f"{inner}/*.parquet" if inner else "*.parquet"
    for version in (revision,) if revision else (None, CONVERTED):
        try:
            found = snapshot_download(
                name,
                repo_type="dataset",
                revision=version,
                allow_patterns=wanted,
                local_files_only=local,
            )
        except Exception as error:  # its own errors, those of HTTP clients, and of the disk
            raise DataError(
                f"{place} cannot be downloaded: {first_line(error)}\n"
                "Check the name and the connection, or copy its Parquet files into a folder and"
                " give that as data.path."
            ) from None
        if next(Path(found).rglob("*.parquet"), None) is not None:
            return Path(found)
    raise DataError(f"{place} has no Parquet files")
