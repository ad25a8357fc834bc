"""Teachers: trained networks whose predictions a network learns from."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from mlplab.augment.pipeline import Augmentation
from mlplab.models.footprint import evaluation_batch
from mlplab.training.arrays import Arrays
from mlplab.training.distillation import logarithms

Values = Any
"""A compiled step's input from the teachers: their weights, or their predictions."""


class Teacher:
    """Returns the mean of its networks' log-probabilities.

    They equal logits up to a number that is the same for all classes of an image, which a softmax
    cancels.

    Args:
        networks: networks from raw uint8 images to probabilities.
        views: number of epochs of augmentation that are predicted once, before training, and then
            repeated in turn; 0 predicts each view when it is shown.
    """

    def __init__(self, networks: Sequence[keras.Model], views: int) -> None:
        self.networks = list(networks)
        self.views = views
        self.values: Values = [_weights(network) for network in self.networks]

    def epoch_shown(self, epoch: Any) -> Any:
        """Return the epoch whose augmentation is used in an epoch."""
        return epoch % self.views if self.views else epoch

    def answers(self, values: Values, images: jax.Array, rows: jax.Array, epoch: Any) -> jax.Array:
        """Return logarithms of probabilities, float32 [batch, classes]; to be traced.

        Args:
            values: of a teacher like this one.
            images: uint8 [batch, height, width, channels], as the student sees them.
            rows: int32 [batch], their positions in their split.
            epoch: from 0.
        """
        if self.views:
            table: jax.Array = values[self.epoch_shown(epoch), rows]
            return table
        return self._live(values, images)

    def _live(self, values: Values, images: jax.Array) -> jax.Array:
        total: jax.Array = jnp.zeros(())
        for network, (trainable, other) in zip(self.networks, values, strict=True):
            outputs, _ = network.stateless_call(trainable, other, images, training=False)
            total = total + logarithms(outputs)
        return total / len(self.networks)

    def prepare(
        self,
        data: Arrays,
        augment: Augmentation | None,
        should_stop: Callable[[], bool],
        note: Callable[[str], None],
    ) -> None:
        """Predict on the views, if that is to be done in advance.

        Args:
            data: the training split.
            augment: of the training.
            should_stop: called between batches.
            note: called with what takes the time.

        Raises:
            KeyboardInterrupt: if ``should_stop`` returns ``True``.
        """
        if not self.views:
            return
        count = len(data)
        note(f"the teacher predicts on {self.views} views of {count:,} images")
        rows = np.arange(count, dtype=np.int32)
        answer = jax.jit(self._view, static_argnames=("augment",))
        size = min(map(evaluation_batch, self.networks))
        found = []
        for epoch in range(self.views):
            parts = []
            for start in range(0, count, size):
                if should_stop():
                    raise KeyboardInterrupt
                chosen = rows[start : start + size]
                parts.append(answer(self.values, data, chosen, jnp.int32(epoch), augment=augment))
            found.append(jnp.concatenate(parts))
        self.values = jnp.stack(found).block_until_ready()

    def _view(
        self,
        values: Values,
        data: Arrays,
        rows: jax.Array,
        epoch: jax.Array,
        augment: Augmentation | None,
    ) -> jax.Array:
        places = rows if data.rows is None else data.rows[rows]
        images, labels = data.x[places], data.y[places]
        if augment is not None:
            images, _ = augment(images, labels, rows, epoch)
        return self._live(values, images)


def _weights(network: keras.Model) -> tuple[list[jax.Array], list[jax.Array]]:
    groups = (network.trainable_variables, network.non_trainable_variables)
    trainable, other = ([variable.value for variable in group] for group in groups)
    return trainable, other
