"""Output on terminals and in files whose encoding lacks some characters."""

import codecs
import sys
import unicodedata

SIMILAR = {
    "–": "-",
    "—": "-",
    "−": "-",
    "±": "+-",
    "×": "x",
    "…": "...",
    "→": "->",
    "≥": ">=",
    "≤": "<=",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "·": "-",
    "σ": "sigma",
}
"""What stands for characters that mlplab itself prints."""


def print_anywhere() -> None:
    """Let standard output and error replace what their encoding lacks, which would be an error."""
    codecs.register_error("mlplab", _similar)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not None, as where they are closed
            stream.reconfigure(errors="mlplab")


def _similar(error: UnicodeError) -> tuple[str, int]:
    """Return something similar in ASCII for what cannot be encoded, and where to continue."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(map(_in_ascii, lacking)), error.end


def _in_ascii(character: str) -> str:
    if character in SIMILAR:
        return SIMILAR[character]
    letters = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return letters or "?"
