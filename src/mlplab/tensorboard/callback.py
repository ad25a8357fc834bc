"""What ``keras.callbacks.TensorBoard`` writes at the end of an epoch, without TensorFlow."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mlplab.errors import first_line, optional
from mlplab.tensorboard.events import Events


class TensorBoard(keras.callbacks.Callback):  # type: ignore[misc]
    """Writes each epoch of a training for TensorBoard.

    The layout is that of ``keras.callbacks.TensorBoard``: ``epoch_<metric>`` in the folders
    ``train`` and ``validation``, ``epoch_learning_rate``, ``<weight's path>/histogram`` (without
    the model's own name). A metric of several values has a curve for each. The step is the epoch,
    counted from 0. If the files cannot be written, a warning says so and training continues. A
    training that begins at a later epoch (``initial_epoch``) replaces what an earlier one wrote
    from that epoch on.

    Args:
        log_dir: folder for the two folders.
        histogram_freq: epochs from one histogram of the weights to the next; 0 for none.

    Examples:
        >>> import mlplab, keras, numpy as np, pathlib, tempfile
        >>> model = keras.Sequential([keras.layers.Dense(1)])
        >>> model.compile("sgd", "mean_squared_error")
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> board = mlplab.TensorBoard(folder, histogram_freq=1)
        >>> _ = mlplab.fit(model, np.ones((8, 2)), np.ones(8), callbacks=[board], verbose=0)
        >>> sorted(path.name for path in folder.iterdir())
        ['train', 'validation']
    """

    def __init__(self, log_dir: str | Path = "logs", histogram_freq: int = 0) -> None:
        super().__init__()
        self.log_dir = Path(log_dir)
        self.histogram_freq = histogram_freq
        self.note: Callable[[str], None] = warnings.warn
        self._failed = False
        self._files: tuple[Events, Events] | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Begin anew, also after a training that was interrupted and closed nothing."""
        self._failed = False
        self.on_train_end()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Open the files when training starts or, at a later epoch, resumes."""
        if self._files is None and not self._failed:
            with self._or_stop():
                train = Events(self.log_dir / "train", epoch)
                self._files = train, Events(self.log_dir / "validation", epoch)
                if epoch == 0:
                    self._introduce(train)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the epoch, and flush it to disk."""
        if not self._failed:
            with self._or_stop():
                self._write(epoch, logs or {})

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Close the files."""
        with self._or_stop():
            for file in self._files or ():
                file.close()
        self._files = None

    def _introduce(self, file: Events) -> None:
        """Write what stands before the first epoch."""

    def _write(self, epoch: int, logs: dict[str, Any]) -> None:
        assert self._files is not None, "an epoch ended that had not started"
        train, validation = self._files
        for name, value in {**self._rate(), **logs}.items():
            file = validation if name.startswith("val_") else train
            file.add_scalars(dict(_scalars(f"epoch_{name.removeprefix('val_')}", value)), epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            with optional("TensorBoard's histograms", self.note):
                self._measure(train, epoch)
        for file in self._files:
            file.flush()

    def _rate(self) -> dict[str, float]:
        rate = getattr(self.model.optimizer, "learning_rate", None)
        return {} if rate is None else {"learning_rate": float(keras.ops.convert_to_numpy(rate))}

    def _measure(self, file: Events, epoch: int) -> None:
        """Write a histogram of each weight."""
        for layer in self.model.layers:
            for weight in layer.weights:
                file.add_histogram(f"{self._tag(weight.path)}/histogram", weight.value, epoch)

    def _tag(self, path: str) -> str:
        # A Sequential model puts its own name first, which would put all layers into one group.
        return path.removeprefix(f"{self.model.name}/")

    @contextmanager
    def _or_stop(self) -> Iterator[None]:
        """Write no more events, but go on training, after one that cannot be written."""
        try:
            yield
        except Exception as error:
            if not self._failed:
                self.note(f"TensorBoard gets no more events: {first_line(error)}")
            self._failed = True


def _scalars(tag: str, value: Any) -> Iterator[tuple[str, float]]:
    """Yield the numbers of a metric, which may be an array or a dictionary, by their tags."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _scalars(f"{tag}/{key}", part)
    elif np.ndim(value):
        for index, part in enumerate(value):
            yield from _scalars(f"{tag}/{index}", part)
    else:
        yield tag, float(value)
