"""Everything that mlplab raises on purpose.

MlplabError                 base; the command line prints it in one or two lines
├── UserError               what the user can fix (exit code 2)
│   ├── RecipeError         a recipe, an override, or a setting in it
│   ├── DataError           a data set that is missing, damaged or unsuitable
│   └── RunError            a run or runs folder that is missing, ambiguous or damaged
├── StorageError            a disk that is full or a folder that cannot be written (exit code 1)
└── TrainingError           a training that cannot continue (exit code 1)
"""

import difflib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager


class MlplabError(Exception):
    """Base of the project's exceptions. ``str(error)`` says what was wrong and what to do."""

    exit_code = 1


class UserError(MlplabError):
    """Something that the user can fix."""

    exit_code = 2


class RecipeError(UserError):
    """A recipe, an override or a setting in it is wrong."""


class DataError(UserError):
    """A data set is missing, damaged or unsuitable."""


class RunError(UserError):
    """A run or the runs folder is missing, ambiguous or damaged."""


class StorageError(MlplabError):
    """A disk is full or a folder cannot be written."""


class TrainingError(MlplabError):
    """A training cannot continue."""


def first_line(error: Exception) -> str:
    """Return the first line of another library's error message, or its type if that is empty."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def last_line(text: str) -> str:
    """Return the last line of an error's text, which says what went wrong in a traceback."""
    return ([part for part in text.splitlines() if part.strip()] or [text])[-1].strip()[:300]


SYNONYMS = {
    "lr": "learning_rate",
    "rate": "learning_rate",
    "epoch": "epochs",
    "num_epochs": "epochs",
    "n_epochs": "epochs",
    "batch": "batch_size",
    "bs": "batch_size",
    "wd": "weight_decay",
    "decay": "weight_decay",
    "optim": "optimizer",
    "optimiser": "optimizer",
    "normalization": "normalisation",
    "initializer": "initialiser",
}
"""What other programs call a key, and what it is called here."""


@contextmanager
def optional(what: str, note: Callable[[str], None]) -> Iterator[None]:
    """Turn a failure to write what no result depends on, such as a figure, into a note."""
    try:
        yield
    except Exception as error:
        note(f"{what} could not be written: {first_line(error)}")


def nearest(word: str, known: Iterable[str], otherwise: str | None = None) -> str:
    """Return ``"; did you mean 'x'?"`` for the known name closest to ``word``, or the choices.

    If no name is close, ``otherwise`` is returned instead of the choices.
    """
    names = sorted(known)
    by_lower = {name.lower(): name for name in names}
    synonym = SYNONYMS.get(word.lower())
    if synonym in by_lower:
        return f"; did you mean '{synonym}'?"
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{by_lower[close[0]]}'?"
    if otherwise is not None:
        return otherwise
    return f"; choose from {', '.join(names)}" if names else ""
