import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mlplab.data import formats, images
from mlplab.data.images import Fit, read_image
from mlplab.errors import DataError

COLOUR = (4, 4, 3)


def saved(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def pixel(content: bytes, channels: int = 3) -> list[int]:
    """The value of an image that has the same everywhere."""
    read = read_image(content, (4, 4, channels)).reshape(-1, channels)
    assert (read.max(axis=0) - read.min(axis=0) <= 1).all()
    return read[0].tolist()


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "I;16"]),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3])),
)
def test_any_size_and_mode_comes_out_in_the_shape(
    size: tuple[int, int], mode: str, shape: tuple[int, int, int]
) -> None:
    read = read_image(saved(Image.new(mode, size)), shape)
    assert read.shape == shape
    assert read.dtype == np.uint8


@pytest.mark.parametrize(
    ("fit", "left", "above", "below"),
    [("crop", 10, 10, 200), ("stretch", 10, 10, 200), ("pad", 128, 10, 200)],
)
def test_an_image_that_is_not_square_is_cut_padded_or_distorted(
    fit: Fit, left: int, above: int, below: int
) -> None:
    """One of 40 rows and 20 columns, of which the first row is black."""
    pixels = np.full((40, 20), 10, np.uint8)
    pixels[0], pixels[20:] = 0, 200
    read = read_image(saved(Image.fromarray(pixels)), (20, 20, 1), fit)[..., 0]
    assert read[5, 0] == left
    assert read[5, 10] == above
    assert read[15, 10] == below
    assert (read[0, 10] < 8) == (fit != "crop")


@pytest.mark.parametrize(
    ("image", "format", "expected"),
    [
        (Image.new("1", (9, 9), 1), "PNG", [255] * 3),
        (Image.new("RGBA", (9, 9), (0, 0, 0, 0)), "PNG", [255] * 3),
        (Image.new("RGBA", (9, 9), (255, 0, 0, 51)), "PNG", [255, 204, 204]),
        (Image.new("LA", (9, 9), (0, 0)), "PNG", [255] * 3),
        (Image.new("CMYK", (9, 9), (0, 0, 0, 0)), "TIFF", [255] * 3),
        (Image.new("YCbCr", (9, 9), (255, 128, 128)), "TIFF", [255] * 3),
        (Image.new("LAB", (9, 9), (255, 128, 128)), "TIFF", [255] * 3),
        (Image.new("I;16", (9, 9), 65535), "PNG", [255] * 3),
        (Image.new("I;16", (9, 9), 32896), "TIFF", [128] * 3),
        (Image.new("I", (9, 9), 200), "TIFF", [200] * 3),
        (Image.new("I", (9, 9), 65535), "TIFF", [255] * 3),
        (Image.new("F", (9, 9), 0.4), "TIFF", [102] * 3),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else None,
)
def test_modes_become_opaque_eight_bit_colour(
    image: Image.Image, format: str, expected: list[int]
) -> None:
    assert pixel(saved(image, format)) == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
@pytest.mark.parametrize(
    ("value", "highest", "expected"),
    [(2048, 4095, 128), (100, 255, 100), (2048, 4096, 8), (2048, 65535, 8), (0, 0, 0)],
)
def test_white_in_16_bits_is_that_of_8_12_or_16(
    format: str, value: int, highest: int, expected: int
) -> None:
    values = np.full((40, 4), value, np.uint16)
    values[0, 0] = highest  # cropped
    read = read_image(saved(Image.fromarray(values), format), (4, 4, 1))
    assert read.reshape(-1)[-1] == pytest.approx(expected, abs=1)


def test_transparent_palettes_are_put_on_white() -> None:
    image = Image.new("P", (9, 9), 1)
    image.putpalette([0, 0, 0, 0, 0, 255])
    assert pixel(saved(image, "GIF")) == [0, 0, 255]
    assert pixel(saved(image, "GIF", transparency=1)) == [255, 255, 255]


def test_grey_is_the_luminance() -> None:
    assert pixel(saved(Image.new("RGB", (9, 9), (255, 0, 0))), channels=1) == [76]


def test_exif_rotation_is_applied() -> None:
    upright = Image.new("RGB", (8, 8), "black")
    upright.paste("white", (0, 0, 8, 4))  # the upper half
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side: turn it 90° clockwise to see it
    stored = saved(upright.transpose(Image.Transpose.ROTATE_90), exif=exif)
    assert (read_image(stored, (8, 8, 3)) == np.asarray(upright)).all()


def test_animations_give_their_first_frame() -> None:
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    assert pixel(saved(frames[0], "GIF", save_all=True, append_images=frames[1:])) == [255, 0, 0]


def test_the_centre_is_kept() -> None:
    wide = Image.new("RGB", (30, 10), "black")
    wide.paste("white", (10, 0, 20, 10))
    assert read_image(saved(wide), (10, 10, 3)).min() == 255


def test_photographs_are_read_at_a_fraction_without_harm() -> None:
    detail = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    for enlarged in (1, 3, 16):
        photograph = Image.fromarray(detail).resize((40 * enlarged,) * 2)
        stored = saved(photograph, "JPEG", quality=95)
        expected = np.asarray(photograph.resize((40, 40)), dtype=float)
        assert np.abs(read_image(stored, (40, 40, 1))[..., 0] - expected).mean() < 5


def unreadable(source: Path | bytes) -> str:
    with pytest.raises(DataError) as error:
        read_image(source, COLOUR, name="upload")
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_truncated_files_are_refused(format: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    whole = saved(Image.fromarray(noise), format)
    path = tmp_path / f"half.{format.lower()}"
    path.write_bytes(whole[: len(whole) // 2])
    assert str(path) in unreadable(path)


def test_what_is_not_an_image_is_named(tmp_path: Path) -> None:
    assert unreadable(b"a letter") == "upload cannot be read: not an image, or damaged"
    assert "No such file" in unreadable(tmp_path / "gone.png")
    assert "not a regular file" in unreadable(tmp_path)


def test_decompression_bombs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 80)
    assert "more than 80 pixels" in unreadable(saved(Image.new("RGB", (9, 9))))
    assert "more than 80 pixels" in unreadable(saved(Image.new("RGB", (90, 90))))


def test_an_image_that_says_it_is_50_000_squared_is_refused() -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    png = b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")
    assert "pixels; make it smaller" in unreadable(png)


SLOPE = (0.7 * np.add.outer(np.arange(240), np.arange(120))).astype(np.uint8)


@pytest.mark.parametrize(
    ("mode", "format"),
    [("RGB", "PNG"), ("RGBA", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("I;16", "PNG"), ("I", "TIFF"),
     ("F", "TIFF"), ("CMYK", "TIFF")],
)  # fmt: skip
@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(
    ("shape", "fit"),
    [((8, 8, 3), "crop"), ((8, 16, 1), "crop"), ((100, 100, 3), "crop"), ((8, 16, 1), "stretch"),
     ((100, 100, 3), "stretch"), ((8, 8, 3), "pad"), ((8, 16, 1), "pad"), ((100, 100, 3), "pad")],
)  # fmt: skip
def test_a_large_image_is_the_same_in_strips(
    mode: str,
    format: str,
    orientation: int,
    shape: tuple[int, int, int],
    fit: Fit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if mode.startswith(("I", "F")):
        image = Image.fromarray(SLOPE.astype({"I;16": "u2", "I": "i4", "F": "f4"}[mode]) * 100)
    else:
        image = Image.fromarray(SLOPE).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(image, format, exif=exif)
    whole = read_image(content, shape, fit).astype(int)
    monkeypatch.setattr(images, "LARGE", 1000)
    monkeypatch.setattr(images, "STRIP", 1500)
    difference = abs(read_image(content, shape, fit) - whole)
    assert difference.mean() < 2
    assert difference.max() < 12


def test_postscript_is_no_image(tmp_path: Path) -> None:
    path = tmp_path / "program.png"
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(made) (w) file\n")
    assert "not an image" in unreadable(path)


def test_a_jpeg_of_a_thousand_scans_is_refused_and_one_of_ten_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual = saved(Image.effect_noise((64, 64), 40), "JPEG", progressive=True)
    assert read_image(usual, COLOUR).shape == COLOUR
    last = usual.rindex(b"\xff\xda")
    monkeypatch.setattr(images, "SCANNED", 64 * 64 * 50)
    assert read_image(usual, COLOUR).shape == COLOUR
    repeated = usual[:last] + usual[last:-2] * 1000 + usual[-2:]
    assert "1,00" in unreadable(repeated)
    assert "scans" in unreadable(repeated)


def test_heic_is_read_where_its_package_is_installed() -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    assert pixel(saved(Image.new("RGB", (64, 64), (200, 200, 200)), "HEIF")) == pytest.approx(
        [200] * 3, abs=3
    )


@pytest.mark.skipif("AVIF" not in formats.rasters(), reason="Pillow was built without AVIF")
def test_avif_is_read() -> None:
    content = saved(Image.new("RGB", (64, 64), (200, 200, 200)), "AVIF")
    assert pixel(content) == pytest.approx([200] * 3, abs=3)


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (b"\0\0\0\x18ftypheic", r"pip install 'mlplab\[heic\]'"),
        (b"\0\0\0\x18ftypavif", "pip install -U pillow"),
        (b"%PDF-1.7", "not an image that is read here, but PDF"),
        (b" <svg xmlns=", "but SVG; save it as PNG"),
        (bytes(128) + b"DICM", "but DICOM"),
        (b"", "the file is empty"),
        (b"some text", "not an image, or damaged"),
    ],
)
def test_errors_say_what_a_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: bytes, said: str
) -> None:
    pillow_s_own = tuple(name for name in formats.FORMATS if name not in ("AVIF", "HEIF"))
    for module in (formats, images):
        monkeypatch.setattr(module, "rasters", lambda: pillow_s_own)
    path = tmp_path / "picture"
    path.write_bytes(start)
    for source in (path, start):
        with pytest.raises(DataError, match=said):
            read_image(source, COLOUR)
