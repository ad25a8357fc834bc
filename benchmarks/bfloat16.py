"""Seconds per epoch of the published network at batch 512 in bfloat16.

    python -m benchmarks.bfloat16 --rounds 5

Weights, optimizer and loss are float32 in every program. Each uses bfloat16 in its own way: for the
factors of products in mlplab (``training.precision = "bfloat16"``), autocast in PyTorch (with its
fused Adam), and the ``mixed_bfloat16`` policy in Keras.
"""

from benchmarks import race, report
from benchmarks.workers import JAX, Contestant

BATCH = {"batch_size": 512}
TORCH = BATCH | {"precision": "bfloat16"}
CONTESTANTS = (
    Contestant("mlplab", "mlplab_engine.py", settings=BATCH | {"precision": "bfloat16"}),
    Contestant("PyTorch autocast, eager", "torch_loop.py", "pytorch", TORCH | {"compile": False}),
    Contestant("PyTorch autocast, compiled", "torch_loop.py", "pytorch", TORCH | {"compile": True}),
    Contestant(
        "Keras/JAX fit, mixed_bfloat16",
        "keras_fit.py",
        "keras-jax",
        BATCH | {"policy": "mixed_bfloat16"},
        JAX,
    ),
    Contestant("mlplab, float32", "mlplab_engine.py", settings=BATCH),
    Contestant("the limit", "mlplab_limit.py", settings=BATCH | {"precision": "bfloat16"}),
)


def main() -> None:
    """Run the race and write ``results/bfloat16.*``."""
    asked = race.parse(race.options(__doc__))
    question = "seconds an epoch: the published network, batch 512, bfloat16"
    result = race.run(question, CONTESTANTS, "mlplab", asked)
    report.write(asked.out, "bfloat16", result, race.table(result), race.picture(result))


if __name__ == "__main__":
    main()
