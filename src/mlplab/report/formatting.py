"""Numbers formatted for people. What is missing or not a number is a dash."""

import math
from datetime import datetime
from typing import Any, TypeGuard

from mlplab.text import byte_size, counted

DASH = "–"


def is_number(value: Any) -> TypeGuard[float]:
    """Return whether a value read from JSON is a finite number."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value)


def percent(share: Any) -> str:
    """``0.5441`` is ``54.4 %``."""
    return f"{100 * share:.1f} %" if is_number(share) else DASH


def points(difference: float) -> str:
    """``0.134``, a difference of two shares, is ``13.4 points``."""
    return f"{100 * difference:.1f} points"


def exact_points(share: float) -> str:
    """``0.005`` is ``0.5 points``, with up to two decimals."""
    text = f"{100 * share:.2f}".rstrip("0").rstrip(".")
    return f"{text} point{'' if text == '1' else 's'}"


def number(value: Any, digits: int = 4) -> str:
    """``6305802`` is ``6,305,802``; ``0.93251`` is ``0.9325``; ``1e-05`` stays."""
    if not is_number(value):
        return DASH
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}g}"


def duration(seconds: Any) -> str:
    """``187.3`` is ``3 min 7 s``."""
    if not is_number(seconds):
        return DASH
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def size(count: Any) -> str:
    """``1540000`` bytes is ``1.54 MB``; 0 means unknown."""
    return byte_size(count) if is_number(count) and count else DASH


def times(count: int) -> str:
    """``37`` is ``37 times``, 1 is ``once``."""
    return "once" if count == 1 else f"{count} times"


def moment(text: str) -> str:
    """``2026-01-01T12:00:00+00:00`` is ``2026-01-01 12:00 UTC``; other text is unchanged."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return text or DASH
    return f"{read:%Y-%m-%d %H:%M} {read.tzname() or ''}".rstrip()


def openings(ledger: dict[str, int]) -> str:
    """Return a ledger in words: ``37 times, for 12 configurations``."""
    times, configurations = ledger.get("openings", 0), ledger.get("configurations", 0)
    return f"{counted(times, 'time')}, for {counted(configurations, 'configuration')}"


def figure(value: float, accuracy: bool) -> str:
    """Return an accuracy in percent, or a loss."""
    return f"{100 * value:.2f}" if accuracy else f"{value:.4f}"
