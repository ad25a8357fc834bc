"""A split of the data on the device."""

from dataclasses import dataclass

import jax


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Arrays:
    """A split on the device.

    Attributes:
        x: uint8 [n, height, width, channels].
        y: int32 [n], or float32 [n, classes] for losses that expect one-hot labels.
        rows: int32 [m], the positions of the split's images in ``x`` and ``y``, which several
            splits share; ``None`` for all of them in order.
    """

    x: jax.Array
    y: jax.Array
    rows: jax.Array | None = None

    def __len__(self) -> int:
        return int((self.x if self.rows is None else self.rows).shape[0])
