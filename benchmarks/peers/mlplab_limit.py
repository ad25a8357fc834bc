"""The limit of an epoch of the published network on this machine, measured again each turn.

Settings: ``data``, a folder of .npy files; ``batch_size``; ``precision``.
"""

from pathlib import Path

import mlplab  # isort: skip  # noqa: F401  chooses Keras's backend
import numpy as np
from turns import say, settings, wait

from mlplab.training.limit import Layer, measure

ASKED = {"precision": "float32"} | settings()
HIDDEN = [(3072, 1024), (1024, 1024), (1024, 1024), (1024, 1024)]
WEIGHTS = 6_305_802


def main() -> None:
    """Report in each turn the seconds that an epoch would take at the limit."""
    images = len(np.load(Path(ASKED["data"]) / "y_train.npy"))
    layers = [Layer(inputs, units, ASKED["precision"]) for inputs, units in HIDDEN]
    say(ready=True)
    while True:
        wait()
        limit = measure([*layers, Layer(1024, 10)], ASKED["batch_size"], WEIGHTS, 2 * WEIGHTS)
        say(seconds=images / ASKED["batch_size"] * limit.seconds, limit=limit.to_json())


main()
