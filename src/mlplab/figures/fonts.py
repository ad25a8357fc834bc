"""Fonts for text in any script: the installed ones, where Matplotlib's own font has no glyph."""

import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

OWN = "DejaVu Sans"
"""Comes with Matplotlib."""
PREFERRED = ("Noto Sans", "Source Han Sans", "PingFang", "Microsoft", "WenQuanYi", "Noto Emoji")
MISSING = "\N{WHITE SQUARE}"


def drawable(text: str) -> bool:
    """Return whether the installed fonts have all characters of a text."""
    return not _fallbacks(_foreign(text))[1]


def prepare(figure: Figure) -> None:
    """Give each text of a figure the fonts that have its characters.

    Characters that no font has become a square. Matplotlib would draw its own boxes and warn.
    """
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        foreign = _foreign(text.get_text())
        if not foreign:
            continue
        families, missing = _fallbacks(foreign)
        text.set_fontfamily([OWN, *families])
        if missing:
            text.set_text("".join(_instead(c) if c in missing else c for c in text.get_text()))


def _instead(character: str) -> str:
    # Joiners and variation selectors have no form of their own.
    invisible = unicodedata.category(character) in ("Cf", "Mn")
    return "" if invisible else MISSING


def _foreign(text: str) -> frozenset[str]:
    if text.isascii():
        return frozenset()
    own = _characters(font_manager.findfont(OWN), 0)
    return frozenset(c for c in text if ord(c) not in own and not c.isspace())


@lru_cache(4096)
def _fallbacks(characters: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the families that have these characters, and those that none has."""
    families, missing = [], set(characters)
    for entry in _candidates() if missing else ():
        found = {c for c in missing if ord(c) in _characters(entry.fname, entry.index)}
        if found:
            families.append(entry.name)
            missing -= found
        if not missing:
            break
    return tuple(families), frozenset(missing)


@lru_cache(1)
def _candidates() -> Iterable[font_manager.FontEntry]:
    """Return one file of each installed family: upright, of normal weight if there is one."""

    def rank(entry: font_manager.FontEntry) -> tuple[object, ...]:
        plain = entry.style == "normal" and entry.weight in (400, "normal", "regular")
        return not entry.name.startswith(PREFERRED), not plain, entry.name, entry.fname

    families: dict[str, font_manager.FontEntry] = {}
    for entry in sorted(font_manager.fontManager.ttflist, key=rank):
        if "LastResort" not in entry.fname:
            families.setdefault(entry.name, entry)
    return list(families.values())


@lru_cache(256)
def _characters(path: str, index: int) -> frozenset[int]:
    """Return the code points that a font has; none of one that Matplotlib cannot draw."""
    try:
        font = FT2Font(path, face_index=index)
        # Colour emoji are pictures of fixed sizes.
        return frozenset(font.get_charmap()) if font.scalable else frozenset()
    except (OSError, RuntimeError, ValueError):
        return frozenset()
