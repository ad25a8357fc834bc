"""The callback that writes a run for TensorBoard while it trains.

``<run>/tensorboard`` holds ``train`` and ``validation``, as Keras's own callback lays them out, and
``results`` (:mod:`mlplab.tensorboard.hparams`), written when training has ended.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from tensorboardX import summary

from mlplab.errors import optional
from mlplab.evaluation.diagnostics import Probe, Statistics
from mlplab.figures import sample_grid
from mlplab.tensorboard.callback import TensorBoard
from mlplab.tensorboard.events import Events

SAMPLES = (4, 4)  # rows and columns of the sample picture


class RunTensorBoard(TensorBoard):
    """Writes the epochs of a run, and diagnostics of its training.

    In addition to what :class:`TensorBoard` writes: ``<weight's path>/gradient`` (histogram),
    ``gradient_norm/<layer>``, ``update_ratio/<layer>`` and ``relu_dead_share/<layer>``, as
    :class:`~mlplab.evaluation.diagnostics.Statistics` defines them; ``zero_share/<layer>``, of
    weights that are exactly 0; a picture of sample images; the recipe.

    Args:
        folder: ``<run>/tensorboard``.
        probe_images: uint8 [n, height, width, channels], training images to measure gradients on.
        probe_labels: [n, ...], as the compiled loss expects them.
        class_names: one name per class.
        histogram_freq: epochs from one measurement of the layers to the next; 0 for none.
        images: whether to write the sample picture.
        recipe_text: the recipe as TOML.
        probe_weights: float32 [n], the weight of each probe image in the loss.
        note: called when something cannot be written; training continues.
    """

    def __init__(
        self,
        folder: Path,
        probe_images: NDArray[np.uint8],
        probe_inputs: NDArray[Any],
        probe_labels: NDArray[Any],
        class_names: Sequence[str],
        *,
        histogram_freq: int = 1,
        images: bool = True,
        recipe_text: str,
        probe_weights: NDArray[np.float32] | None = None,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        super().__init__(folder, histogram_freq)
        self.images = images
        self.class_names = class_names
        self.recipe_text = recipe_text
        self.note = note
        self._pictures = probe_images
        self._sample = (probe_inputs, probe_labels, probe_weights)
        self._probe: Probe | None = None
        self._statistics: Statistics | None = None
        self._row: Mapping[str, float] = {}

    @property
    def statistics(self) -> Statistics | None:
        """The layers as they were last measured."""
        return self._statistics

    def _introduce(self, file: Events) -> None:
        if self.images:
            with optional("TensorBoard's sample picture", self.note):
                file.add_figure("samples", self._sample_picture())
        file.add(summary.text("recipe", _code_block(self.recipe_text)))
        file.flush()

    def on_row(self, row: Mapping[str, float]) -> None:
        """Take the complete row of an epoch that has ended, of which ``logs`` are a part."""
        self._row = {key: value for key, value in row.items() if key not in ("epoch", "seconds")}

    def _write(self, epoch: int, logs: dict[str, Any]) -> None:
        super()._write(epoch, {**logs, **self._row})

    def _measure(self, file: Events, epoch: int) -> None:
        """Write histograms of weights and gradients, and numbers of the layers."""
        super()._measure(file, epoch)
        if self._probe is None:
            self._probe = Probe(self.model, *self._sample)
        self._statistics, gradients = self._probe.measure()
        for path, gradient in gradients.items():
            file.add_histogram(f"{self._tag(path)}/gradient", gradient, epoch)
        file.add_scalars(_layer_scalars(self._statistics), epoch)

    def _sample_picture(self) -> Figure:
        labels = self._sample[1]
        classes = labels if labels.ndim == 1 else labels.argmax(axis=-1)
        return sample_grid(self._pictures, classes, self.class_names, *SAMPLES)


def _layer_scalars(statistics: Statistics) -> dict[str, float]:
    values = {"gradient_norm/all": statistics.global_gradient_norm}
    for layer in statistics.layers:
        values[f"gradient_norm/{layer.layer}"] = layer.gradient_norm
        values[f"update_ratio/{layer.layer}"] = layer.update_ratio
        values[f"relu_dead_share/{layer.layer}"] = layer.dead_share
        values[f"zero_share/{layer.layer}"] = layer.zero_share
    return {tag: value for tag, value in values.items() if value is not None}


def _code_block(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
