"""scikit-learn's MLPClassifier, one epoch per call of ``partial_fit``. It has no dropout.

Settings: ``data``, a folder of .npy files; ``batch_size``.
"""

import time
import warnings
from pathlib import Path

import numpy as np
import sklearn
from sklearn.neural_network import MLPClassifier
from turns import serve, settings

ASKED = settings()


def main() -> None:
    """Train one epoch per turn, indefinitely."""
    images = np.load(Path(ASKED["data"]) / "x_train.npy")
    x = images.reshape(len(images), -1).astype(np.float32)
    x /= 127.5
    x -= 1
    y = np.load(Path(ASKED["data"]) / "y_train.npy")
    network = MLPClassifier(
        (1024,) * 4,
        solver="adam",
        alpha=0.0,
        learning_rate_init=1e-4,
        epsilon=1e-7,
        batch_size=ASKED["batch_size"],
        random_state=0,
    )
    warnings.simplefilter("ignore")

    def epoch() -> float:
        begun = time.perf_counter()
        network.partial_fit(x, y, classes=np.arange(10))
        return time.perf_counter() - begun

    serve(epoch, versions={"scikit-learn": sklearn.__version__})


main()
