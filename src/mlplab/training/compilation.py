"""Compilation of programs, and their cache on disk for later processes."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import jax
from jax.experimental.compilation_cache import compilation_cache
from jax.stages import Compiled, Lowered

from mlplab.cache import cache_dir, make_private

SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_compilation_cache_max_size",
    "jax_persistent_cache_min_compile_time_secs",
)
LEAST_SECONDS = 0.1  # below this, it is faster to compile than to look up
LARGEST = 2**29  # bytes in total; the least recently used programs are removed first

# On a CPU, XLA copies whole matrices before a step overwrites them, unless it analyses where their
# old values are last read.
CPU_OPTIONS: dict[str, str | bool] = {"xla_cpu_copy_insertion_use_region_analysis": True}


def compiled(program: Lowered) -> Compiled:
    """Return a program compiled for this machine's devices."""
    return program.compile(compiler_options=options())


def options() -> dict[str, str | bool] | None:
    """Return the compiler's options for this machine's devices."""
    return CPU_OPTIONS if jax.default_backend() == "cpu" else None


def keep_compiled(warn: Callable[[str], None]) -> None:
    """Let JAX keep its programs in mlplab's cache folder.

    Its content is run without checks, so a folder that belongs to another user, or that others can
    write, is not used.

    Args:
        warn: called with the reason if programs are not kept; training continues without.
    """
    folder = cache_dir() / "compiled"
    try:
        make_private(folder)
        facts = folder.stat()
    except OSError as error:
        warn(f"compiled programs are not kept: {folder}: {error.strerror}")
        return
    foreign = hasattr(os, "getuid") and facts.st_uid != os.getuid()
    if foreign or (os.name == "posix" and facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
        warn(f"compiled programs are not kept: {folder} could be written by others")
        return
    values = (str(folder), LARGEST, LEAST_SECONDS)
    for name, value in zip(SETTINGS, values, strict=True):
        jax.config.update(name, value)  # type: ignore[no-untyped-call]


@contextmanager
def cache_settings_restored() -> Iterator[None]:
    """When the block ends, let JAX keep its programs as it did before, if it did."""
    before = {name: getattr(jax.config, name) for name in SETTINGS}
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)  # type: ignore[no-untyped-call]
        compilation_cache.reset_cache()
