"""One training on several devices: each computes a part of every batch.

Weights, optimizer and images are on every device; the compiler sums the gradients over the devices.
The result is that of one device, including batch normalisation over the whole batch and dropout's
bits, except for the order of sums.
"""

from collections.abc import Sequence
from typing import Any

import jax
import keras

from mlplab.errors import RecipeError

Device = jax.Device


def choose(wanted: str) -> list[jax.Device]:
    """Return the devices of ``--devices``: ``"all"``, or a number of them.

    Raises:
        RecipeError: if it is neither, or if there are fewer devices.
    """
    there = jax.devices()
    if wanted == "all":
        return there
    if not wanted.isdecimal() or not int(wanted):
        raise RecipeError(f"--devices {wanted}: give all, or a number such as 2")
    if int(wanted) > len(there):
        raise RecipeError(
            f"--devices {wanted}: here {'are' if len(there) > 1 else 'is'} {len(there)}"
            f" ({there[0].device_kind}); use --devices all for all of them"
        )
    return there[: int(wanted)]


class Sharding:
    """The placement of arrays when several devices share the batches.

    Keras's ``DataParallel`` decides the layouts; it is not set as Keras's global distribution, so
    that it affects only the training.

    Args:
        devices: at least two.
    """

    def __init__(self, devices: Sequence[jax.Device]) -> None:
        names = [f"{device.platform}:{device.id}" for device in devices]
        self._parallel = keras.distribution.DataParallel(devices=names, auto_shard_dataset=False)
        self.count = len(devices)
        mesh = self._parallel.device_mesh.backend_mesh
        nowhere_split = jax.sharding.PartitionSpec()  # type: ignore[no-untyped-call]
        self.everywhere = jax.sharding.NamedSharding(mesh, nowhere_split)

    def divides(self, batch_size: int) -> bool:
        """Whether a batch can be shared equally; otherwise each device computes all of it."""
        return batch_size % self.count == 0

    def replicate(self, arrays: Any) -> Any:
        """Return a tree of arrays, each copied to every device that does not have it."""
        return jax.device_put(arrays, self.everywhere)

    def share(self, batch: Sequence[jax.Array]) -> list[jax.Array]:
        """Return a batch, in a compiled function, divided over the devices if it can be."""
        if not self.divides(len(batch[0])):
            return list(batch)
        layouts = [self._parallel.get_data_layout(part.shape).backend_layout for part in batch]
        shared: list[jax.Array] = jax.lax.with_sharding_constraint(  # type: ignore[no-untyped-call]
            list(batch), layouts
        )
        return shared
