"""The loss of a network that learns from teachers' predictions in addition to the labels."""

from typing import Any

import jax
import jax.numpy as jnp
import keras

EPSILON = 1e-7  # smallest probability whose logarithm is taken, as in Keras's own losses


@keras.saving.register_keras_serializable(package="mlplab")
class Distillation(keras.losses.Loss):  # type: ignore[misc]
    """The weighted mean of the losses for labels and teachers (Hinton, Vinyals & Dean 2015).

    ``(1 - weight) · crossentropy(labels, p) + weight · T² · KL(softmax(a/T) ‖ softmax(log(p)/T))``
    for probabilities p, teachers' predictions a (log-probabilities) and a temperature T. T² keeps
    the gradient's size the same for every temperature.

    Labels without predictions, as in validation, give only the cross-entropy.

    Args:
        temperature: T.
        weight: of the teachers.
        label_smoothing: of the labels.
        **options: those of every Keras loss.
    """

    def __init__(
        self, temperature: float, weight: float, label_smoothing: float = 0.0, **options: Any
    ) -> None:
        super().__init__(**{"name": "distillation", **options})
        self.temperature, self.weight = temperature, weight
        self.label_smoothing = label_smoothing

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that create the same loss."""
        own = {
            "temperature": self.temperature,
            "weight": self.weight,
            "label_smoothing": self.label_smoothing,
        }
        return {**super().get_config(), **own}

    def call(self, y_true: jax.Array, y_pred: jax.Array) -> jax.Array:
        """Return the loss of each image, float32 [n].

        Args:
            y_true: one-hot labels [n, classes], or these and the predictions, [n, 2 · classes].
            y_pred: probabilities [n, classes].
        """
        classes = y_pred.shape[-1]
        labels = y_true[:, :classes]
        from_labels: jax.Array = keras.losses.categorical_crossentropy(
            labels, y_pred, label_smoothing=self.label_smoothing
        )
        if y_true.shape[-1] == classes:
            return from_labels
        teacher = jax.nn.log_softmax(y_true[:, classes:] / self.temperature)
        student = jax.nn.log_softmax(logarithms(y_pred) / self.temperature)
        divergence = (jnp.exp(teacher) * (teacher - student)).sum(axis=-1)
        from_teachers: jax.Array = self.temperature**2 * divergence
        return (1 - self.weight) * from_labels + self.weight * from_teachers


def logarithms(probabilities: jax.Array) -> jax.Array:
    """Return the logarithms of probabilities, all finite."""
    return jnp.log(jnp.clip(probabilities, EPSILON, 1.0))


@keras.saving.register_keras_serializable(package="mlplab")  # type: ignore[untyped-decorator]
def right(y_true: jax.Array, y_pred: jax.Array) -> Any:
    """Return 1 where the label is the most probable class, whatever teachers say; float32 [n]."""
    labels = y_true[:, : y_pred.shape[-1]]
    return (labels.argmax(axis=-1) == y_pred.argmax(axis=-1)).astype(jnp.float32)


def accuracy() -> keras.metrics.Metric:
    """Return the metric ``accuracy`` of a network that has teachers."""
    return keras.metrics.MeanMetricWrapper(right, name="accuracy")
