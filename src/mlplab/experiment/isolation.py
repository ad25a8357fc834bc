"""The process while mlplab computes: its own settings of Keras and JAX, and restored afterwards.

Keras reads the user's ``~/.keras/keras.json``, JAX reads variables of the environment, and a
program may have set either before it calls mlplab. None of that is part of a recipe.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import jax
import keras

from mlplab.errors import RecipeError, UserError
from mlplab.experiment.process import restored

# By name: how to read it, how to set it, and its value. The policy is last, because its default
# follows from floatx.
KERAS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any], Any]] = {
    "floatx": (keras.config.floatx, keras.config.set_floatx, "float32"),
    "epsilon": (keras.config.epsilon, keras.config.set_epsilon, 1e-7),
    "image_data_format": (
        keras.config.image_data_format,
        keras.config.set_image_data_format,
        "channels_last",
    ),
    "distribution": (keras.distribution.distribution, keras.distribution.set_distribution, None),
    "dtype_policy": (
        keras.config.dtype_policy,
        keras.config.set_dtype_policy,
        keras.DTypePolicy("float32"),
    ),
}
JAX: dict[str, Any] = {
    "jax_allow_f16_reductions": True,
    "jax_compiler_enable_remat_pass": True,
    "jax_debug_infs": False,
    "jax_debug_nans": False,
    "jax_default_matmul_precision": None,
    "jax_default_prng_impl": "threefry2x32",
    "jax_disable_jit": False,
    "jax_enable_custom_prng": False,
    "jax_enable_x64": False,
    "jax_exec_time_optimization_effort": 0.0,
    "jax_high_dynamic_range_gumbel": False,
    "jax_legacy_prng_key": "allow",
    "jax_numpy_dtype_promotion": "standard",
    "jax_numpy_rank_promotion": "allow",
    "jax_random_seed_offset": 0,
    "jax_threefry_partitionable": True,
    "jax_transfer_guard": None,
}

# Variables that decide as well, but only when JAX is loaded: they are recorded.
VARIABLES = (
    "JAX_DISABLE_MOST_OPTIMIZATIONS",
    "LIBTPU_INIT_ARGS",
    "NVIDIA_TF32_OVERRIDE",
    "XLA_FLAGS",
)
NO_MATTER = ("--xla_dump_", "--xla_backend_extra_options=xla_cpu_use_multi_output_fusion")

_lock = threading.Lock()
_inside = 0  # blocks within one another, and in several threads
_outermost = ExitStack()
_process: int | None = None  # that has used JAX


@contextmanager
def isolated() -> Iterator[None]:
    """Let mlplab's own settings apply in a block or a function, and restore the program's.

    What else the block changes in the process is restored too (:mod:`mlplab.experiment.process`).

    Raises:
        UserError: if this process was forked from one that had used JAX.
    """
    global _inside
    _check_process()
    with _lock:
        if not _inside:
            _outermost.enter_context(restored())
            _outermost.enter_context(_own_settings())
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _outermost.close()


def check_code() -> None:
    """Refuse code of the user's own that has changed one of Keras's settings.

    It would do so only when it is imported: once in a process, whatever else that trains.

    Raises:
        RecipeError: naming the setting.
    """
    for name, (read, _, value) in KERAS.items():
        if read() != value:
            raise RecipeError(
                f"your own code sets Keras's {name} to {read()}, for the whole process: give it to"
                " the layers instead (dtype=, epsilon=, data_format=), or set training.precision"
            )


def variables() -> dict[str, str]:
    """Return the variables of the environment that affect how JAX rounds."""
    found = {name: os.environ[name] for name in VARIABLES if os.environ.get(name)}
    flags = [flag for flag in found.pop("XLA_FLAGS", "").split() if not flag.startswith(NO_MATTER)]
    return found | ({"XLA_FLAGS": " ".join(sorted(flags))} if flags else {})


def _check_process() -> None:
    global _process
    if _process not in (None, os.getpid()):
        raise UserError(
            "this process was forked from one that has used JAX, where JAX would wait for ever."
            ' Start it another way, such as with multiprocessing.get_context("spawn")'
        )
    _process = os.getpid()


@contextmanager
def _own_settings() -> Iterator[None]:
    """Set what differs, and what was set before when the block ends."""
    keras_before = {name: read() for name, (read, _, _) in KERAS.items()}
    jax_before = {name: getattr(jax.config, name) for name in JAX if hasattr(jax.config, name)}
    _restore(
        {name: value for name, (_, _, value) in KERAS.items()},
        {name: JAX[name] for name in jax_before},
    )
    try:
        yield
    finally:
        _restore(keras_before, jax_before)


def _restore(keras_settings: dict[str, Any], jax_settings: dict[str, Any]) -> None:
    for name, value in keras_settings.items():
        read, write, _ = KERAS[name]
        if read() != value:
            write(value)
    for name, value in jax_settings.items():
        if getattr(jax.config, name) != value:
            jax.config.update(name, value)  # type: ignore[no-untyped-call]
