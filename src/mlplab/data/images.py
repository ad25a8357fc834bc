"""Image files of any size and kind, read into one shape."""

import io
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from mlplab.errors import DataError

Shape = tuple[int, int, int]
"""Height, width and channels (1: grey, 3: red, green, blue)."""


def read_image(
    source: Path | str | bytes, shape: Shape, *, name: str = "the image"
) -> NDArray[np.uint8]:
    """Read an image file of any size and mode that Pillow reads.

    It is turned as its EXIF data say, put on white where it is transparent, scaled so that it
    covers the target and cropped about its centre. Of an animation the first frame is taken.

    Args:
        source: a path, or the content of a file.
        shape: height, width, channels of the result.
        name: what an error calls the image when ``source`` is a file's content.

    Returns:
        uint8 [height, width, channels].

    Raises:
        DataError: the file is missing, truncated, not an image, or has more pixels than Pillow
            considers safe (``PIL.Image.MAX_IMAGE_PIXELS``).
    """
    with _strict_pillow():
        return _read(source, shape, name)


def read_images(paths: Sequence[Path], shape: Shape) -> Iterator[NDArray[np.uint8] | DataError]:
    """Read many files in order, on every core: the array of each, or why it could not be read."""

    def attempt(path: Path) -> NDArray[np.uint8] | DataError:
        try:
            return _read(path, shape, path.name)
        except DataError as error:
            return error

    # Pillow lets go of the interpreter while it decodes: photographs take half the time on 2 cores.
    with _strict_pillow(), ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(attempt, paths)


@contextmanager
def opened(
    source: Path | str | bytes, name: str, formats: tuple[str, ...] | None = None
) -> Iterator[Image.Image]:
    """Open an image of one of Pillow's ``formats``, by default of any.

    Whatever goes wrong with it inside the block is a :class:`DataError`.
    """
    try:
        if not isinstance(source, bytes):
            name = str(source)
            if Path(source).exists() and not Path(source).is_file():
                raise OSError("not a regular file")  # opening a pipe would wait for ever
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        with Image.open(file, formats=formats) as image:
            yield image
    except DataError:
        raise
    except Exception as error:  # a damaged file can make Pillow's decoders raise anything
        raise DataError(f"{name} cannot be read: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image, or damaged"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"more than {Image.MAX_IMAGE_PIXELS:,} pixels, which Pillow considers unsafe"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).splitlines()[0] if str(error) else type(error).__name__


@contextmanager
def _strict_pillow() -> Iterator[None]:
    """Make Pillow's warning about huge images an error, and silence its other remarks.

    Not done for each image: ``catch_warnings`` changes the whole process and is unsafe in threads.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _read(source: Path | str | bytes, shape: Shape, name: str) -> NDArray[np.uint8]:
    height, width, channels = shape
    with opened(source, name) as image:
        # A photograph in JPEG can be decoded at a fraction of its size; at twice the target's, the
        # resampling below still has all that it uses.
        image.draft(None, (2 * max(height, width),) * 2)
        turned = ImageOps.exif_transpose(image)
        plain = _on_white(turned).convert("L" if channels == 1 else "RGB")
        fitted = ImageOps.fit(plain, (width, height))
        return np.array(fitted, dtype=np.uint8).reshape(height, width, channels)


def _on_white(image: Image.Image) -> Image.Image:
    """Return the image in 8 bits and opaque."""
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_eight_bits(np.asarray(image), image.mode))
    if image.mode == "LAB":
        profiles = (ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"))
        return ImageCms.profileToProfile(image, *profiles, outputMode="RGB") or image
    if not image.has_transparency_data:
        return image
    if image.mode == "La":  # premultiplied grey converts to LA alone
        image = image.convert("LA")
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _eight_bits(values: NDArray[np.generic], mode: str) -> NDArray[np.uint8]:
    """Scale grey values of 16 or 32 bits to 0..255.

    Only 16-bit modes say what white is. For the others it is the smallest customary white (1 for
    floating point, 255, 65,535) that no value exceeds, else the largest value.
    """
    numbers = values.astype(np.float64)
    highest = float(numbers.max())
    if not np.isfinite(numbers).all():
        raise ValueError("it has pixels that are not finite numbers")
    if mode.startswith("I;16"):
        white = 65535.0
    else:
        customary = ((1.0,) if mode == "F" else ()) + (255.0, 65535.0)
        white = next((limit for limit in customary if highest <= limit), highest)
    return np.rint(np.clip(numbers / white, 0, 1) * 255).astype(np.uint8)
