"""A run as Python shows it: with its network, its page and its curves."""

import html
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlplab.api.common import folder, warn
from mlplab.errors import UserError
from mlplab.runs import layout, lock, store
from mlplab.runs import run as runs

if TYPE_CHECKING:
    import keras

    from mlplab.report.shown import Curves, History


class Run(runs.Run):
    """A run folder, read on demand.

    Examples:
        >>> import mlplab
        >>> run = mlplab.load_run("last")               # doctest: +SKIP
        >>> run.metrics["validation"]["accuracy"]       # doctest: +SKIP
        0.9931
    """

    def __repr__(self) -> str:
        from mlplab.report import excerpt

        try:
            return excerpt.line(self.folder)
        except UserError as error:  # an object has to be shown, whatever became of its folder
            return f"run in {self.folder}: {error}"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: facts, learning curves and findings, without scripts."""
        from mlplab.report import excerpt

        try:
            return excerpt.excerpt(self.folder)
        except UserError:
            return html.escape(repr(self))

    @property
    def history(self) -> "History":
        """One row an epoch: loss, accuracy, val_loss, val_accuracy, learning_rate, seconds.

        In a notebook it shows itself as a table; ``to_pandas`` returns a data frame.
        """
        from mlplab.report.shown import History

        return History(super().history)

    def plot(self) -> "Curves":
        """Return the learning curves, which show themselves in a notebook."""
        from mlplab.report.shown import Curves

        return Curves({self.name: self.history})

    def report(self) -> Path:
        """Return the path of the run's page; write it if it is missing.

        Raises:
            RunError: if it is missing, and the record is damaged or the run is being written.
        """
        page = self.folder / layout.REPORT
        if not page.exists():
            from mlplab.experiment.publish import publish_again

            with lock.writing(self.folder):
                publish_again(self.folder, store.read_own_record(self.folder), self.recipe)
        return page

    def model(self, trust: bool = False) -> "keras.Model":
        """Load the trained network: raw uint8 [n, height, width, channels] to probabilities.

        Args:
            trust: import the user's own module that the recipe names, for its classes.

        Raises:
            RunError: if the run has no network, or its file is damaged.
        """
        from mlplab.experiment.networks import load_network  # and with it Keras

        return load_network(self, trust)

    def export(
        self,
        format: Literal["onnx", "keras"] = "onnx",
        out: str | Path | None = None,
        *,
        trust: bool = False,
    ) -> Path:
        """Write the network for other programs, or the training as a program of its own.

        Args:
            format: ``"onnx"``, a folder with the network's file; ``"keras"``, a Python program that
                trains the network with plain Keras.
            out: what to create; by default the folder ``RUN-onnx``, or ``RUN.py``.
            trust: import the user's own module that the recipe names.

        Returns:
            The path of what was written.

        Raises:
            RunError: if the run cannot be exported in this format, or ``out`` already exists.
            UserError: for another format.
        """
        if format not in ("onnx", "keras"):
            raise UserError(f"'{format}' is not a format: 'onnx' or 'keras'")
        if format == "keras":
            from mlplab.plain import program

            return program.write(self, folder(out) or Path(f"{self.name}.py"))
        from mlplab.experiment.export import export

        return export(self, folder(out) or Path(f"{self.name}-onnx"), trust)

    def evaluate(
        self,
        split: str = "validation",
        *,
        data_dir: str | Path | None = None,
        data_path: str | Path | None = None,
        trust: bool = False,
    ) -> dict[str, Any]:
        """Evaluate the network on a split, add the metrics to the record, and return them.

        Args:
            split: ``"train"``, ``"validation"`` or ``"test"``; for a run on cifar10 also
                ``"cifar10.1"``. Each evaluation on a test set is counted in the ledger.
            data_dir: folder that contains the data set's folder, such as ``cifar10/``.
            data_path: where your own images are now, if they were moved.
            trust: import the user's own module that the recipe names.

        Raises:
            DataError: if the data set is not the one that the run was trained on, or CIFAR-10.1 is
                missing.
            RunError: if the run has no network, or is being written.
        """
        from mlplab.experiment import inference

        where, moved = folder(data_dir), folder(data_path)
        return inference.evaluate(self, split, where, trust, warn, data_path=moved)
