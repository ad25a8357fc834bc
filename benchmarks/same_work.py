"""Seconds per epoch of the published network, batch 64, float32: all programs do the same work.

    python -m benchmarks.same_work --rounds 5

3072-1024×4-10, dropout 0.2, Adam at 1e-4, 50,000 images in memory; no validation and no callbacks.
Every peer runs as its documentation recommends for data that fits in memory. Where two ways are
plausible, both race.
"""

from benchmarks import race, report
from benchmarks.workers import JAX, TENSORFLOW, Contestant

BATCH = {"batch_size": 64}
TORCH = BATCH | {"precision": "float32"}
CONTESTANTS = (
    Contestant("mlplab", "mlplab_engine.py", settings=BATCH),
    Contestant("Keras/JAX fit", "keras_fit.py", "keras-jax", BATCH, JAX),
    Contestant("Keras/TensorFlow fit", "keras_fit.py", "keras-tensorflow", BATCH, TENSORFLOW),
    Contestant(
        "Keras/TensorFlow fit, without XLA, 8 steps per execution",
        "keras_fit.py",
        "keras-tensorflow",
        BATCH | {"jit_compile": False, "steps_per_execution": 8},
        TENSORFLOW,
    ),
    Contestant("PyTorch, eager", "torch_loop.py", "pytorch", TORCH | {"compile": False}),
    Contestant("PyTorch, compiled", "torch_loop.py", "pytorch", TORCH | {"compile": True}),
    Contestant(
        "scikit-learn partial_fit",
        "sklearn_epochs.py",
        "scikit-learn",
        BATCH,
        apart="MLPClassifier has no dropout, so its work is a little less",
    ),
    Contestant("the limit", "mlplab_limit.py", settings=BATCH),
)


def main() -> None:
    """Run the race and write ``results/same-work.*``."""
    asked = race.parse(race.options(__doc__))
    question = "seconds an epoch: the published network, batch 64, float32"
    result = race.run(question, CONTESTANTS, "mlplab", asked)
    report.write(asked.out, "same-work", result, race.table(result), race.picture(result))


if __name__ == "__main__":
    main()
