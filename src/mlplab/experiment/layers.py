"""What ``--layers`` writes: numbers and pictures of a network's layers, epoch by epoch."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mlplab import files
from mlplab.errors import optional
from mlplab.evaluation import fields
from mlplab.evaluation.diagnostics import Probe
from mlplab.figures import tiles
from mlplab.models.filters import first_filters
from mlplab.runs import layout

UNITS = 64  # drawn
SNAPSHOTS = 60  # epochs with pictures, at most


class Layers:
    """Writes ``layers.jsonl`` and the folder ``layers``.

    ``layers.jsonl`` has a row for each epoch: what :class:`~mlplab.evaluation.diagnostics.Probe`
    measures. ``layers/network.json`` lists the layers with their shapes. If the first layer is
    dense, ``layers/weights-0001.png`` shows what its first 64 units look for, and
    ``layers/fields-0001.png`` where they look; 0000 is before training. Of long trainings, every
    second epoch is drawn, or fewer. A failure is noted, and costs no training.

    Args:
        folder: of the run.
        model: what is trained, compiled.
        images: uint8 [n, height, width, channels], training images to measure gradients on.
        labels: [n, …], as the compiled loss expects them.
        weights: float32 [n], of these images in the loss; ``None`` for all 1.
        epochs: of the training.
        note: receives what could not be written.
    """

    def __init__(
        self,
        folder: Path,
        model: keras.Model,
        images: NDArray[Any],
        labels: NDArray[Any],
        weights: NDArray[np.float32] | None,
        epochs: int,
        note: Callable[[str], None],
    ) -> None:
        self.folder = folder
        self.model = model
        self.epochs = epochs
        self.note = note
        self.sample = (images, labels, weights)
        self.stride = -(-epochs // SNAPSHOTS)
        self.probe: Probe | None = None

    def begin(self) -> None:
        """Write the network, and the pictures before training."""
        with optional("the network's layers", self.note):
            (self.folder / layout.PICTURES).mkdir(exist_ok=True)
            text = json.dumps(outline(self.model), indent=1)
            files.write_text(self.folder / layout.PICTURES / layout.OUTLINE, text)
            self._draw(0)

    def write(self, epoch: int) -> None:
        """Measure and draw the model as it is after an epoch, counted from 1."""
        with optional(f"the layers in epoch {epoch}", self.note):
            if self.probe is None:
                self.probe = Probe(self.model, *self.sample)
            row = {"epoch": epoch, **self.probe().to_json()}
            files.append_line(self.folder / layout.LAYERS, row)
            if epoch % self.stride == 0 or epoch in (1, self.epochs):
                self._draw(epoch)

    def _draw(self, epoch: int) -> None:
        found = first_filters(self.model)
        if found is None:
            return
        kernel, shape = np.asarray(found[0])[:, :UNITS], found[1]
        energy = np.asarray(fields.fields(kernel, shape).energy)
        for name, picture in (
            ("weights", tiles.of_weights(kernel, shape)),
            ("fields", tiles.of_fields(energy)),
        ):
            path = self.folder / layout.PICTURES / f"{name}-{epoch:04d}.png"
            with files.atomic(path) as file:
                Image.fromarray(picture).save(file, "PNG", compress_level=3)


def outline(model: keras.Model) -> list[dict[str, Any]]:
    """Return the layers of a network: name, kind, output shape, parameters and activation."""
    return [
        {
            "name": layer.name,
            "kind": type(layer).__name__,
            "shape": _shape(layer),
            "parameters": layer.count_params() if layer.built else 0,
            "activation": _activation(layer),
        }
        for layer in model.layers
        if not isinstance(layer, keras.layers.InputLayer)
    ]


def _shape(layer: keras.Layer) -> list[int | None]:
    shape = getattr(getattr(layer, "output", None), "shape", None)
    return [] if shape is None else list(shape[1:])


def _activation(layer: keras.Layer) -> str | None:
    name = getattr(getattr(layer, "activation", None), "__name__", None)
    return None if name in (None, "linear") else name
