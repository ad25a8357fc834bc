"""What training changes in the process, which is the user's if it is called from Python.

:func:`~mlplab.experiment.isolation.isolated` restores it.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from keras.src.backend.common import global_state  # Keras's only access to its random seed

from mlplab.training.checkpoints import random_state, restore_random
from mlplab.training.compilation import cache_settings_restored

KERAS_SEEDS = ("global_random_seed", "global_seed_generator")


@contextmanager
def restored() -> Iterator[None]:
    """Restore what training has changed when the block ends.

    These are the global random generators of Python, NumPy and Keras, JAX's compilation cache, and
    the folders that Python imports from.
    """
    generators, path = random_state(), list(sys.path)
    seeds = {name: global_state.get_global_attribute(name) for name in KERAS_SEEDS}
    try:
        with cache_settings_restored():
            yield
    finally:
        sys.path[:] = path
        restore_random(generators)
        for name, value in seeds.items():
            global_state.set_global_attribute(name, value)
