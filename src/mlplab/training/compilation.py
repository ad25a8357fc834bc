"""How programs are compiled, and kept on disk so that the next process need not do it again."""

import os
import stat
from collections.abc import Callable

import jax
from jax.stages import Compiled, Lowered

from mlplab.cache import cache_dir, make_private

LARGEST = 2**29  # bytes in all; the programs used longest ago go first

# On a processor XLA copies whole matrices before a step overwrites them, unless it looks closely at
# where their old values are last read.
CPU_OPTIONS: dict[str, str | bool] = {"xla_cpu_copy_insertion_use_region_analysis": True}


def compiled(program: Lowered) -> Compiled:
    """Return a program compiled for the devices at hand."""
    cpu = jax.default_backend() == "cpu"
    return program.compile(compiler_options=CPU_OPTIONS if cpu else None)


def keep_compiled(warn: Callable[[str], None]) -> None:
    """Let JAX keep its programs in mlplab's cache folder.

    What lies there is run as it is: a folder that belongs to somebody else, or that others can
    write, is not used.

    Args:
        warn: told why programs are not kept; training goes on without.
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
    settings = {
        "jax_compilation_cache_dir": str(folder),
        "jax_compilation_cache_max_size": LARGEST,
        # Faster to compile than to look up, below this.
        "jax_persistent_cache_min_compile_time_secs": 0.1,
    }
    for name, value in settings.items():
        jax.config.update(name, value)  # type: ignore[no-untyped-call]
