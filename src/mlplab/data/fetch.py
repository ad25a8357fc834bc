"""Downloads of published files: resumable, verified, and never left half done."""

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from mlplab.cache import cache_dir
from mlplab.data import DATASETS
from mlplab.errors import DataError, nearest
from mlplab.files import storage

CHUNK = 1 << 18
PATIENCE = 30
"""Seconds without a byte after which a connection counts as lost."""

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and, where the server says it, the bytes in all."""


def _silent(done: int, total: int | None) -> None:
    pass


def fetch(
    name: str,
    data_dir: Path | None = None,
    progress: Progress = _silent,
    *,
    base_url: str | None = None,
) -> Path:
    """Download the published files of a data set, unless they are there already.

    Args:
        name: one of :data:`mlplab.data.DATASETS` that has a download.
        data_dir: the files go to ``<data_dir>/<name>/``; by default to mlplab's cache. In both
            ``load`` finds them.
        progress: called now and then with how far the present file is.
        base_url: the folder on the web, or of a mirror, that has the files.

    Returns:
        The path of the archive, or of the folder where there are several files.

    Raises:
        DataError: the name is not one of a published data set, the server cannot be reached or
            stops half way (what arrived is kept, and the next call continues from there), or what
            arrived does not have the published checksum (it is removed).
        StorageError: the archive cannot be written.
    """
    known = {key: offered.download for key, offered in DATASETS.items() if offered.download}
    if name in DATASETS and (archive := DATASETS[name].archive):
        raise DataError(
            f"{name} is published in one archive with others, which is not fetched here. Download\n"
            f"{archive} and unpack its files into {(data_dir or cache_dir()) / 'emnist'}"
        )
    if name not in known:
        raise DataError(f"'{name}' is not a data set that can be fetched{nearest(name, known)}")
    published = known[name]
    folder = (cache_dir() if data_dir is None else data_dir) / name
    for file, md5 in published.md5.items():
        download(_url(base_url or published.base_url, file), folder / file, md5, progress)
    return folder / file if len(published.md5) == 1 else folder


def _url(base: str, file: str) -> str:
    return f"{base.rstrip('/')}/{file}"


def download(url: str, path: Path, md5: str, progress: Progress = _silent) -> Path:
    """Download ``url`` to ``path``, by way of ``<path>.part``, which a later call continues.

    Args:
        url: http or https.
        path: where the whole file will be; it appears there only once its checksum is right.
        md5: the checksum, in hexadecimal.
        progress: called now and then with how far it is.

    Raises:
        DataError, StorageError: as :func:`fetch` says.
    """
    part = path.with_name(f"{path.name}.part")
    with storage(str(path.parent)):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(part):
            if path.is_file() and _md5(path) == md5:
                return path
            _receive(url, part, progress)
            if (found := _md5(part)) != md5:
                part.unlink()
                raise DataError(
                    f"what {url} sent is damaged or another file: its MD5 is {found}, not {md5}.\n"
                    "It was removed. Try again, or another mirror."
                )
            part.replace(path)
    return path


@contextmanager
def _alone(part: Path) -> Iterator[None]:
    """Keep other processes from writing the same part."""
    lock = FileLock(f"{part}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise DataError(f"another process is writing {part}; wait for it to end") from None
    try:
        yield
    finally:
        with suppress(OSError):  # Windows keeps an open file
            Path(lock.lock_file).unlink()
        lock.release()


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _receive(url: str, part: Path, progress: Progress) -> None:
    """Append the missing bytes to ``part``, or all if the server does not support ranges."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise DataError(f"{url} is not an address that begins with http:// or https://")
    there = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "mlplab"})
    if there:
        request.add_header("Range", f"bytes={there}-")
    try:
        response = urllib.request.urlopen(request, timeout=PATIENCE)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is lacking; whether the part is right, its checksum says
        raise _unreachable(url, part, f"{error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(url, part, getattr(error, "reason", error)) from None
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            there = 0
        length = response.headers.get("Content-Length", "")
        total = there + int(length) if length.isdecimal() else None
        with part.open("r+b" if there else "wb") as file:
            file.seek(there)
            done = _copy(response, file, there, total, progress)
            file.flush()
            os.fsync(file.fileno())
    if total is not None and done < total:
        raise DataError(
            f"the connection to {urlsplit(url).netloc} was lost at {done:,} of {total:,} bytes.\n"
            "Repeat the command: it continues from there."
        )


def _copy(
    response: http.client.HTTPResponse,
    file: BinaryIO,
    done: int,
    total: int | None,
    progress: Progress,
) -> int:
    """Copy until the response ends or fails; return the size reached."""
    while True:
        progress(done, total)
        try:
            chunk = response.read(CHUNK)
        except (OSError, http.client.HTTPException):
            return done  # its length, or else its checksum, says that it is not complete
        if not chunk:
            return done
        file.write(chunk)
        done += len(chunk)


def _unreachable(url: str, part: Path, reason: object) -> DataError:
    archive = part.name.removesuffix(".part")
    return DataError(
        f"{url} cannot be fetched: {reason}.\n"
        f"Try again later, or put {archive} into {part.parent} yourself."
    )
