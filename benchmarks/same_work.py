"""Seconds per epoch, the same work in all programs: the published network, batch 64, float32.

    python -m benchmarks.same_work --rounds 5
    python -m benchmarks.same_work --network cnn-small --images 10000   # or airnet-small, vit

3072-1024×4-10, dropout 0.2, Adam at 1e-4, 50,000 images in memory; no validation and no callbacks.
Every peer runs as its documentation recommends for data that fits in memory. Where two ways are
plausible, both race. Other networks, at their recipe's batch size and with Adam, in float32 and in
bfloat16: they have no augmentation here.
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


BATCHES = {"cnn-small": 250, "airnet-small": 500, "vit": 250}


def others(network: str, precision: str) -> list[Contestant]:
    """Return the contestants with another network."""
    asked = {"network": network, "batch_size": BATCHES[network], "precision": precision}
    policy = "float32" if precision == "float32" else "mixed_bfloat16"
    nan = ""
    if network == "airnet-small" and precision == "bfloat16":
        nan = "the loss of PyTorch 2.13's compiled program is NaN; eager, it trains"
    return [
        Contestant("mlplab", "mlplab_engine.py", settings=asked),
        *(
            Contestant(
                f"PyTorch, {'compiled' if compiled else 'eager'}",
                "torch_loop.py",
                "pytorch",
                asked | {"compile": compiled, "any_loss": compiled and bool(nan)},
                apart=nan if compiled else "",
            )
            for compiled in (False, True)
        ),
        Contestant("Keras/JAX fit", "keras_fit.py", "keras-jax", asked | {"policy": policy}, JAX),
    ]


def main() -> None:
    """Run the race and write ``results/same-work.*``, or ``same-work-NETWORK-PRECISION.*``."""
    parser = race.options(__doc__)
    parser.add_argument("--network", choices=("published", *BATCHES), default="published")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--images", type=int, help="for training; by default all 50,000")
    asked = race.parse(parser)
    name, contestants = "same-work", list(CONTESTANTS)
    question = "seconds an epoch: the published network, batch 64, float32"
    if asked.network != "published":
        name = f"same-work-{asked.network}-{asked.precision}"
        contestants = others(asked.network, asked.precision)
        batch = BATCHES[asked.network]
        question = f"seconds an epoch: {asked.network}, batch {batch}, {asked.precision}"
    result = race.run(question, contestants, "mlplab", asked, images=asked.images)
    report.write(asked.out, name, result, race.table(result), race.picture(result))


if __name__ == "__main__":
    main()
