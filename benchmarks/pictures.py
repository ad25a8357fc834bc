"""Small data sets of images as class folders, sound and with known faults.

``digits`` are scikit-learn's, ``glyphs`` are digits in the fonts that come with Matplotlib, drawn
with random distortions and noise (28x28, in the manner of MNIST), ``cifar`` is a share of CIFAR-10.
"""

import functools
import io
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_digits

from mlplab import data
from mlplab.recipes.recipe import Data

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
Pictures = tuple[Images, Labels]

GLYPHS, CIFAR = 4_000, 8_000  # images


def digits(_: Path | None) -> Pictures:
    """Return scikit-learn's 1,797 digits, 8x8."""
    found = load_digits()
    return (found.images / 16 * 255).astype(np.uint8), found.target.astype(np.int64)


def glyphs(_: Path | None) -> Pictures:
    """Return drawn digits: turned, moved, scaled and noisy."""
    rng = np.random.default_rng(0)
    labels = np.arange(GLYPHS) % 10
    return np.stack([_glyph(str(label), rng) for label in labels]), labels


def cifar(data_dir: Path | None) -> Pictures:
    """Return the first training images of CIFAR-10."""
    train = data.load(Data(name="cifar10"), data_dir, print).train
    return train.images[:CIFAR], train.labels[:CIFAR].astype(np.int64)


SETS: dict[str, Callable[[Path | None], Pictures]] = {
    "digits": digits,
    "glyphs": glyphs,
    "cifar": cifar,
}


def noisy(pictures: Pictures, share: float) -> Pictures:
    """Give a share of the images a wrong label at random."""
    images, labels = pictures
    rng = np.random.default_rng(1)
    wrong = rng.random(len(labels)) < share
    shift = rng.integers(1, 10, len(labels))
    return images, np.where(wrong, (labels + shift) % 10, labels)


def uneven(pictures: Pictures, ratio: float) -> Pictures:
    """Keep ever fewer images from class to class: the last has a ``ratio``-th of the first."""
    images, labels = pictures
    counts = np.bincount(labels)
    kept = np.concatenate(
        [
            np.flatnonzero(labels == label)[: max(8, int(counts[label] * ratio ** (-label / 9)))]
            for label in range(10)
        ]
    )
    return images[np.sort(kept)], labels[np.sort(kept)]


def few(pictures: Pictures, share: float) -> Pictures:
    """Keep the first images."""
    images, labels = pictures
    count = int(share * len(labels))
    return images[:count], labels[:count]


def faint(pictures: Pictures, contrast: float) -> Pictures:
    """Lower the contrast: dark grey on slightly darker grey."""
    images, labels = pictures
    return (20 + images * contrast).astype(np.uint8), labels


FAULTS: dict[str, Callable[[Pictures], Pictures]] = {
    "sound": lambda pictures: pictures,
    "few": functools.partial(few, share=0.08),
    "fewer": functools.partial(few, share=0.05),
    "noisy-20": functools.partial(noisy, share=0.2),
    "noisy-40": functools.partial(noisy, share=0.4),
    "uneven-20": functools.partial(uneven, ratio=20),
    "uneven-50": functools.partial(uneven, ratio=50),
    "faint": functools.partial(faint, contrast=0.06),
    "fainter": functools.partial(faint, contrast=0.02),
}


def folder(root: Path, name: str, fault: str, data_dir: Path | None) -> Path:
    """Return the folder of a data set with a fault; write it if it does not exist."""
    target = root / f"{name}-{fault}"
    if not target.is_dir():
        unfinished = root / f".{target.name}"
        images, labels = FAULTS[fault](SETS[name](data_dir))
        for position, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = unfinished / f"class {label}" / f"{position:05}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            packed = io.BytesIO()
            Image.fromarray(image).save(packed, "png")
            path.write_bytes(packed.getvalue())
        unfinished.rename(target)
    return target


@functools.cache
def _fonts() -> tuple[ImageFont.FreeTypeFont, ...]:
    shipped = sorted(Path(matplotlib.get_data_path(), "fonts", "ttf").glob("DejaVu*.ttf"))
    return tuple(
        ImageFont.truetype(str(path), 44) for path in shipped if "Display" not in path.name
    )


def _glyph(text: str, rng: np.random.Generator) -> Images:
    """Return one digit, uint8 [28, 28]."""
    fonts = _fonts()
    font = fonts[rng.integers(len(fonts))]
    canvas = Image.new("L", (56, 56))
    ImageDraw.Draw(canvas).text((28, 28), text, fill=255, font=font, anchor="mm")
    turn, shear = np.deg2rad(rng.uniform(-15, 15)), rng.uniform(-0.2, 0.2)
    scale = rng.uniform(0.8, 1.2, 2)
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = np.array([[cos, -sin + shear], [sin, cos]]) * scale
    offset = 28 - matrix @ (28 + rng.uniform(-3, 3, 2))
    affine = (*matrix[0], offset[0], *matrix[1], offset[1])
    drawn = canvas.transform((56, 56), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
    small = np.asarray(drawn.resize((28, 28), Image.Resampling.BOX), np.float64)
    noise = rng.normal(0, 20, small.shape)
    grey: Images = np.clip(small * rng.uniform(0.7, 1) + np.abs(noise), 0, 255).astype(np.uint8)
    return grey
