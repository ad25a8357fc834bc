"""Names of classes and configurations, short enough for a figure and still distinct."""

import unicodedata
from collections import Counter
from collections.abc import Sequence

from mlplab.figures.fonts import drawable

HEAD = 4  # characters kept of a beginning that several names share


def distinct(names: Sequence[str], limit: int = 18, kind: str = "class") -> list[str]:
    """Return names cut to at most ``limit`` columns, on one line, no two of them the same.

    Names that would be cut to the same text lose the beginning that they share. A name in a script
    that no installed font has becomes its number, counted from 0: ``class 3``.

    Args:
        names: of all classes, in their order.
        limit: in columns; East Asian characters take two.
        kind: what is numbered.
    """
    lines = [" ".join(name.split()) for name in names]
    lines = [line if drawable(line) else f"{kind} {index}" for index, line in enumerate(lines)]
    short = [_cut(line, limit) for line in lines]
    for text in _repeated(short):
        places = [index for index, other in enumerate(short) if other == text]
        shared = _shared([lines[index] for index in places])
        for index in places:
            line = lines[index]
            if shared > HEAD + 1:
                line = f"{line[:HEAD]}…{line[shared:]}"
            short[index] = _cut(line, limit)
    # What still repeats, such as names that differ in white space or at their end alone.
    for text in _repeated(short):
        for index in [index for index, other in enumerate(short) if other == text]:
            number = f" ({index})"
            short[index] = _cut(lines[index], limit - len(number)) + number
    return short


def _repeated(texts: Sequence[str]) -> list[str]:
    return [text for text, count in Counter(texts).items() if count > 1]


def _shared(texts: Sequence[str]) -> int:
    """Return the length of the beginning that texts share."""
    first, last = min(texts), max(texts)
    return next(
        (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first)
    )


def _cut(text: str, limit: int) -> str:
    if _width(text) <= limit:
        return text
    end = len(text)
    while _width(text[:end]) > limit - 1:
        end -= 1
    return text[:end] + "…"


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
