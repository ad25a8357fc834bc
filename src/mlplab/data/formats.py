"""The image formats that are read, and what is said about files in others."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

# Pillow reads more, some by calling other programs: PostScript is a language that Ghostscript runs.
FORMATS = (
    *("PNG", "JPEG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "JPEG2000", "AVIF", "HEIF"),
    *("PPM", "TGA", "ICO", "ICNS", "PCX", "SGI", "QOI", "DDS"),
)

HEIC = b"heic heix heim heis hevc hevx hevm hevs mif1 msf1".split()
AVIF = b"avif avis".split()

# The beginnings of files that are taken for images but not read.
OTHERS = {
    b"\x00\x00\x00\x0cJXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"8BPS": "Photoshop",
    b"%PDF": "PDF",
    b"%!PS": "PostScript",
    b"<svg": "SVG",
    b"<?xml": "XML",
    b"\x93NUMPY": "NumPy",
    b"SIMPLE  =": "FITS",
    b"\x89HDF": "HDF5",
    b"\x76\x2f\x31\x01": "OpenEXR",
}


@cache
def rasters() -> tuple[str, ...]:
    """Return those of the formats that can be read here, HEIC with the package pillow-heif."""
    Image.init()
    if find_spec("pillow_heif"):
        import pillow_heif

        pillow_heif.register_heif_opener()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def unidentified(source: Path | str | bytes) -> str:
    """Return why a file is not an image in one of the formats, and what reads it."""
    if isinstance(source, bytes):
        start = source[:256]
    else:
        with Path(source).open("rb") as file:
            start = file.read(256)
    if start[4:8] == b"ftyp" and start[8:12] in AVIF and "AVIF" not in rasters():
        return "it is an AVIF image, which Pillow 11.3 or later reads: `pip install -U pillow`"
    if start[4:8] == b"ftyp" and start[8:12] in HEIC and "HEIF" not in rasters():
        return "it is a HEIC image; `pip install 'mlplab[heic]'` to read it"
    for beginning, name in OTHERS.items():
        if start.lstrip().startswith(beginning):
            return f"not an image that is read here, but {name}; save it as PNG"
    if start[128:132] == b"DICM":
        return "not an image that is read here, but DICOM; save it as PNG"
    return "not an image, or damaged" if start else "the file is empty"
