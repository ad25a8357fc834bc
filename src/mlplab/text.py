"""Text made safe to display, whoever wrote it, and sizes in bytes."""

import unicodedata

NO_TEXT = ("Cc", "Cs", "Zl", "Zp")  # Unicode's categories: control, surrogates, separators

# They change the direction of the text that follows, so that it reads as something else.
TURNING = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
INSTEAD = "\ufffd"


def plain(text: str) -> str:
    """Return text without control characters, lone surrogates and changes of direction.

    Each of them becomes a replacement character. Line ends and tabs stay. A file name that is not
    UTF-8 contains lone surrogates.
    """
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n")
    return "".join(character if _shows(character) else INSTEAD for character in text)


def line(text: str) -> str:
    """Return :func:`plain` text on one line."""
    return plain(text).replace("\n", " ").replace("\t", " ")


def _shows(character: str) -> bool:
    if character in "\n\t":
        return True
    return unicodedata.category(character) not in NO_TEXT and character not in TURNING


def byte_size(count: float) -> str:
    """Return a number of bytes as text: ``1540000`` is ``1.54 MB``."""
    units = ["B", "kB", "MB", "GB", "TB"]
    while count >= 999.5 and len(units) > 1:
        count /= 1000
        del units[0]
    return f"{count:,.0f} {units[0]}" if count >= 99.95 else f"{count:.3g} {units[0]}"


def counted(number: int, thing: str) -> str:
    """Return ``1 run`` or ``2 runs``."""
    return f"{number:,} {thing}{'s' * (number != 1)}"
