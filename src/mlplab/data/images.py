"""Image files of any size and kind, read into one shape."""

import io
import math
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from mlplab.data.formats import rasters, unidentified
from mlplab.errors import DataError

Shape = tuple[int, int, int]
"""Height, width and channels (1: grey, 3: red, green, blue)."""

Fit = Literal["crop", "pad", "stretch"]
"""How an image gets other proportions: cut to its centre, between grey bars, or distorted."""

BARS = 128
"""Grey value of the bars: scaled to [-1, 1], nearly nothing."""

LARGE = 1 << 22
"""Images of more pixels are read one at a time, in strips: decoded, one takes up to 1.5 GB."""

STRIP = 1 << 20
"""Pixels of a strip."""

SCANNED = 1 << 32
"""Limit for pixels times scans of a JPEG. At most ten are usual; each decodes the whole image."""

WHITES = (255.0, 4095.0, 65535.0)
"""White in files of 16 bits: many cameras and microscopes fill 12 of them, some programs 8."""

_alone = threading.Lock()


class UnreachableError(DataError):
    """A file could not be opened or read this time, whatever it contains."""


def read_image(
    source: Path | str | bytes, shape: Shape, fit: Fit = "crop", *, name: str = "the image"
) -> NDArray[np.uint8]:
    """Read an image file of any size and mode that Pillow reads.

    It is rotated as its EXIF data say, put on white where it is transparent, and scaled: so that
    it covers the target, cropped around its centre; or so that the target contains it, between grey
    bars; or to the target's proportions. Of an animation, the first frame is used.

    Args:
        source: a path, or the content of a file.
        shape: height, width, channels of the result.
        fit: what is done about other proportions than the target's.
        name: name of the image in errors when ``source`` is a file's content.

    Returns:
        uint8 [height, width, channels].

    Raises:
        DataError: the file is missing, truncated, not an image, or has more pixels than Pillow
            considers safe (``PIL.Image.MAX_IMAGE_PIXELS``).
    """
    with _strict_pillow():
        return _read(source, shape, fit, name)


def read_images(
    sources: Sequence[Path] | Sequence[bytes],
    shape: Shape,
    fit: Fit = "crop",
    names: Sequence[str] | None = None,
) -> Iterator[NDArray[np.uint8] | DataError]:
    """Read many files in order, on every core: the array of each, or why it could not be read.

    Args:
        sources: paths, or the contents of files.
        shape: height, width, channels of each result.
        fit: as in :func:`read_image`.
        names: of the images in errors where ``sources`` are the contents of files.
    """

    def attempt(source: Path | bytes, name: str) -> NDArray[np.uint8] | DataError:
        try:
            return _read(source, shape, fit, name)
        except DataError as error:
            return error

    # Pillow releases the GIL while it decodes: photographs take half the time on 2 cores.
    with _strict_pillow(), ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(attempt, sources, names or [""] * len(sources))


@contextmanager
def opened(
    source: Path | str | bytes, name: str, formats: tuple[str, ...] | None = None
) -> Iterator[Image.Image]:
    """Open an image of one of Pillow's ``formats``, by default of any raster format.

    Any error with it inside the block becomes a :class:`DataError`.
    """
    try:
        if not isinstance(source, bytes):
            name = str(source)
            if Path(source).exists() and not Path(source).is_file():
                raise OSError("not a regular file")  # opening a pipe would block forever
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        with Image.open(file, formats=formats or rasters()) as image:
            yield image
    except DataError:
        raise
    except Exception as error:  # a damaged file can make Pillow's decoders raise anything
        kind = UnreachableError if _passes(error) else DataError
        raise kind(f"{name} cannot be read: {_reason(error, source)}") from None


def _passes(error: Exception) -> bool:
    """Return whether an error says nothing about the file's content: permissions, a lost mount."""
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and bool(error.errno))


def _reason(error: Exception, source: Path | str | bytes) -> str:
    if isinstance(error, UnidentifiedImageError):
        return unidentified(source)
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"it has more than {Image.MAX_IMAGE_PIXELS:,} pixels; make it smaller first"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).splitlines()[0] if str(error) else type(error).__name__


@contextmanager
def _strict_pillow() -> Iterator[None]:
    """Make Pillow's warning about huge images an error, and silence its other warnings.

    Not done for each image: ``catch_warnings`` changes the whole process and is unsafe in threads.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _read(source: Path | str | bytes, shape: Shape, fit: Fit, name: str) -> NDArray[np.uint8]:
    height, width, channels = shape
    size, mode = (width, height), "L" if channels == 1 else "RGB"
    with opened(source, name) as image:
        _check_scans(image, source)
        # A JPEG can be decoded at a fraction of its size; twice the target's is enough for the
        # resampling below.
        image.draft(None, (2 * max(height, width),) * 2)
        if image.width * image.height > LARGE:
            with _alone:
                plain = ImageOps.exif_transpose(_in_strips(image, mode, size, fit))
        else:
            plain = _opaque(ImageOps.exif_transpose(image), mode, _white(image))
        return np.array(_fitted(plain, size, fit), np.uint8).reshape(height, width, channels)


def _fitted(image: Image.Image, size: tuple[int, int], fit: Fit) -> Image.Image:
    """Return an 8-bit image in another size."""
    if fit == "crop":
        return ImageOps.fit(image, size)
    if fit == "stretch":
        return image.resize(size)
    return ImageOps.pad(image, size, color=(BARS,) * len(image.getbands()))


def _check_scans(image: Image.Image, source: Path | str | bytes) -> None:
    """Refuse a JPEG of a few kilobytes with thousands of empty scans."""
    if image.format not in ("JPEG", "MPO"):
        return
    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    scans = content.count(b"\xff\xda")  # this marker cannot occur within a scan
    if scans * image.width * image.height > SCANNED:
        raise ValueError(f"it has {scans:,} scans; save it again")


def _in_strips(image: Image.Image, mode: str, size: tuple[int, int], fit: Fit) -> Image.Image:
    """Return a large image, or its centre, opaque and at its final size, without bars.

    It is processed strip by strip, so that there is one whole copy of the image, not five.
    """
    image.load()
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    if orientation > 4:  # rotated by a quarter turn
        size = size[::-1]
    shares = image.width / size[0], image.height / size[1]
    if fit == "pad":
        size = (max(1, round(image.width / max(shares))), max(1, round(image.height / max(shares))))
    share = min(shares)
    width, height = image.size
    if fit == "crop":
        width = min(width, math.ceil(share * size[0]))
        height = min(height, math.ceil(share * size[1]))
    left, top = (image.width - width) // 2, (image.height - height) // 2
    factor = max(1, int(share) // 2)
    rows = max(1, STRIP // (width * factor)) * factor
    reduced = Image.new(mode, (math.ceil(width / factor), math.ceil(height / factor)))
    white = _white(image)
    for row in range(0, height, rows):
        box = (left, top + row, left + width, top + min(row + rows, height))
        strip = _opaque(image.crop(box), mode, white)
        reduced.paste(strip.reduce(factor), (0, row // factor))
    result = reduced.resize(size, box=(0, 0, width / factor, height / factor))
    result.getexif()[ExifTags.Base.Orientation] = orientation
    return result


def _opaque(image: Image.Image, mode: str, white: float) -> Image.Image:
    """Return the image in 8 bits, on white where it is transparent, in ``mode``."""
    return _on_white(image, white).convert(mode)


def _on_white(image: Image.Image, white: float) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_eight_bits(np.asarray(image), white))
    if image.mode == "LAB":
        profiles = (ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"))
        return ImageCms.profileToProfile(image, *profiles, outputMode="RGB") or image
    if not image.has_transparency_data:
        return image
    if image.mode == "La":  # premultiplied grey converts only to LA
        image = image.convert("LA")
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _white(image: Image.Image) -> float:
    """Return what counts as white among grey values of 16 or 32 bits.

    It is the smallest usual white (1 for floating point, and :data:`WHITES`) that no value exceeds,
    else the largest value.
    """
    if not image.mode.startswith(("I", "F")):
        return 255.0
    highest = float(np.asarray(image).max())
    customary = ((1.0,) if image.mode == "F" else ()) + WHITES
    return next((limit for limit in customary if highest <= limit), highest)


def _eight_bits(values: NDArray[np.generic], white: float) -> NDArray[np.uint8]:
    """Scale grey values of 16 or 32 bits to 0..255."""
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError("it has pixels that are not finite numbers")
    return np.rint(np.clip(numbers / white, 0, 1) * 255).astype(np.uint8)
