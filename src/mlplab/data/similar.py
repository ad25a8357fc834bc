"""Pictures that look the same: other sizes, formats and qualities of one picture.

Their fingerprints are those of a perceptual hash: which of the 64 lowest frequencies of the cosine
transform are above their median (Zauner 2010, "Implementation and Benchmarking of Perceptual Image
Hash Functions", section 3.2.1).
"""

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

SIDE = 32
"""Of the grey pictures that fingerprints are computed from."""
LOW = 8
"""Frequencies of each direction."""
APART = 5
"""Most bits in which fingerprints of one picture differ."""
ALIKE = 0.98
"""Least correlation between the pixels of two such pictures."""


def fingerprints(pictures: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the perceptual hashes of grey pictures, uint64 [n].

    Args:
        pictures: uint8 [n, SIDE, SIDE].
    """
    low = np.empty((len(pictures), LOW * LOW), np.float32)
    for start in range(0, len(pictures), 1000):  # so that many pictures need little memory
        part = pictures[start : start + 1000].astype(np.float32)
        found = dctn(part, axes=(1, 2), norm="ortho")[:, :LOW, :LOW]
        low[start : start + 1000] = found.reshape(len(part), -1)
    low[:, 0] = 0  # the mean brightness, far above all others
    bits = low > np.median(low, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(np.uint64)[:, 0]


def near(pictures: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Return the pairs of grey pictures that look the same, by their positions, lower one first.

    Fingerprints that differ in at most ``APART`` bits are equal in one of ``APART`` + 1 parts, so
    only those are compared. Pictures of one colour look the same as nothing.

    Args:
        pictures: uint8 [n, SIDE, SIDE].
    """
    marks = fingerprints(pictures)
    pixels = pictures.reshape(len(pictures), -1).astype(np.float32)
    pixels -= pixels.mean(axis=1, keepdims=True)
    size = np.linalg.norm(pixels, axis=1)
    found: set[tuple[int, int]] = set()
    width = -(-64 // (APART + 1))
    for part in range(APART + 1):
        buckets: dict[int, list[int]] = defaultdict(list)
        chosen = (marks >> np.uint64(part * width)) & np.uint64((1 << width) - 1)
        for place in np.flatnonzero(size > 0).tolist():
            buckets[int(chosen[place])].append(place)
        for members in buckets.values():
            found |= _pairs(np.array(members), marks, pixels, size)
    return sorted(found)


def _pairs(
    members: NDArray[np.int64],
    marks: NDArray[np.uint64],
    pixels: NDArray[np.float32],
    size: NDArray[np.float32],
) -> set[tuple[int, int]]:
    """Return the pairs among some pictures."""
    found = set()
    for number, place in enumerate(members[:-1].tolist()):
        others = members[number + 1 :]
        apart = np.bitwise_count(marks[others] ^ marks[place])
        for other in others[apart <= APART].tolist():
            alike = pixels[place] @ pixels[other] / (size[place] * size[other])
            if alike >= ALIKE:
                found.add((place, other))
    return found
