"""Files of a run that grow as it trains: truncated when it is resumed.

What was written after a checkpoint will be written again.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras

from mlplab import files
from mlplab.errors import RunError
from mlplab.runs import layout


def sizes(folder: Path, callbacks: Sequence[keras.callbacks.Callback]) -> dict[str, int]:
    """Return the bytes of what grows from epoch to epoch, by the paths in the folder.

    These are TensorBoard's and CSVLogger's files, and the layers' numbers.
    """
    growing = [path for path in (folder / layout.EVENTS).rglob("*") if path.is_file()]
    growing.append(folder / layout.LAYERS)
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.CSVLogger):
            growing.append(Path(callback.filename))
    root = folder.resolve()
    return {
        path.resolve().relative_to(root).as_posix(): path.stat().st_size
        for path in growing
        if path.exists()
    }


def cut(folder: Path, to: Mapping[str, int]) -> None:
    """Truncate files to the bytes that they had, and remove later events.

    Args:
        folder: of the run.
        to: what :func:`sizes` returned.

    Raises:
        RunError: if a path leads out of the folder.
    """
    # A checkpoint from elsewhere may name any file.
    for name in to:
        if not files.inside(folder, name):
            raise RunError(f"{folder.name}: its checkpoint names {name}, outside the run folder")
    for path in (folder / layout.LAYERS, *(folder / layout.EVENTS).rglob("*")):
        if path.is_file() and path.relative_to(folder).as_posix() not in to:
            path.unlink()
    for name, size in to.items():
        path = folder / name
        if path.is_file() and path.stat().st_size > size:
            os.truncate(path, size)
