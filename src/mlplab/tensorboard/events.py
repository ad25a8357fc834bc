"""TensorBoard's event files, written without TensorFlow and in the calling thread."""

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

from mlplab.figures import png
from mlplab.files import storage

BINS = 64  # the dashboard draws 30


class Events:
    """A separate event file in a folder, written in the calling thread.

    tensorboardX's ``SummaryWriter`` writes in another thread, and if the disk is full there, the
    next call that adds an event blocks forever.

    Args:
        folder: made if it is missing.
        first_step: events of an earlier file in this folder, from this step on, are replaced.

    Raises:
        StorageError: if the disk is full or the folder cannot be written; so do the methods.
    """

    def __init__(self, folder: Path, first_step: int = 0) -> None:
        self.folder = folder
        with storage(str(folder)):
            folder.mkdir(parents=True, exist_ok=True)
            # The time in the file's name is in seconds, too coarse to be unique.
            self._writer = EventsWriter(str(folder / "events"), f".{time.time_ns()}")
        if first_step:
            self._write(Event(step=first_step, session_log=SessionLog(status=SessionLog.START)))

    def add(self, event: Any, step: int = 0) -> None:
        """Add a ``Summary``, tensorboardX's or TensorBoard's own."""
        if not isinstance(event, Summary):
            event = Summary.FromString(event.SerializeToString())
        self._write(Event(step=step, summary=event))

    def add_scalars(self, values: Mapping[str, float], step: int = 0) -> None:
        """Add numbers by their tags; those that are not finite cannot be charted."""
        for tag, value in values.items():
            if math.isfinite(value):
                self.add(summary.scalar(tag, float(value)), step)

    def add_histogram(self, tag: str, values: ArrayLike, step: int) -> None:
        """Add a histogram of the finite values; nothing if there are none."""
        flat = np.asarray(values, np.float32).ravel()
        if not np.isfinite(flat).all():
            flat = flat[np.isfinite(flat)]
        if flat.size:
            counts, edges = binned(flat)
            with np.errstate(over="ignore"):  # the squares of a training that diverges
                sums = flat.sum(dtype=np.float64), np.dot(flat, flat)
            facts = (edges[0], edges[-1], flat.size, *sums)
            self.add(summary.histogram_raw(tag, *facts, edges[1:], counts), step)

    def add_figure(self, tag: str, figure: Figure, step: int = 0) -> None:
        """Add a figure as an image."""
        width, height = (round(figure.dpi * inches) for inches in figure.get_size_inches())
        image = Summary.Image(
            width=width, height=height, colorspace=4, encoded_image_string=png(figure)
        )
        self.add(Summary(value=[Summary.Value(tag=tag, image=image)]), step)

    def flush(self) -> None:
        """Write everything to disk."""
        with storage(str(self.folder)):
            self._writer.flush()

    def close(self) -> None:
        """Flush and close the file."""
        with storage(str(self.folder)):
            self._writer.close()

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        with storage(str(self.folder)):
            self._writer.write_event(event)


def binned(values: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Count finite values, float32 [n], in equal bins; return ``BINS`` counts and the edges."""
    # In float32, edges of nearly equal values, such as a scale that starts at 1, would coincide.
    low, high = np.float64(values.min()), np.float64(values.max())
    margin = max(0.5, 1e-6 * abs(low)) if low == high else 0.0
    counts, edges = np.histogram(values, bins=BINS, range=(low - margin, high + margin))
    return counts, edges
