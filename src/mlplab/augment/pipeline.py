"""Replayable augmentation on the device: the draws of ``[augment]`` and their order.

How an image is changed depends on the seed, the epoch and the image's position in its split, but
not on its batch. Only the mixing of two images (mixup, cutmix) depends on the batch as well, which
provides the partner.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from mlplab.augment import changes, transforms
from mlplab.errors import RecipeError
from mlplab.models.layers.dropout import hashed_bits
from mlplab.recipes.recipe import Augment

# Each has its place among an image's draws, so that setting one key does not change other draws.
DRAWS = (
    "flip",
    "share",
    "crop_down",
    "crop_right",
    "degrees",
    "shift_down",
    "shift_right",
    "brightness",
    "contrast",
    "saturation",
    "cutout_down",
    "cutout_right",
)
Draws = dict[str, jax.Array]


def check(settings: Augment, image_shape: Sequence[int]) -> None:
    """Refuse settings for which images of this shape (height, width, channels) are too small.

    Raises:
        RecipeError: naming the key.
    """
    check_shift("augment.shift", settings.shift, image_shape)
    side = min(image_shape[:2])
    if settings.cutout > side:
        raise RecipeError(
            f"augment.cutout = {settings.cutout} is larger than images of {side} pixels: at most"
            f" {side}"
        )


def check_shift(key: str, pixels: int, image_shape: Sequence[int]) -> None:
    """Refuse to shift images by as many pixels as they have.

    Raises:
        RecipeError: naming the key.
    """
    side = min(image_shape[:2])
    if pixels >= side:
        raise RecipeError(
            f"{key} = {pixels} is too far for images of {side} pixels: at most {side - 1}"
        )


@dataclass(frozen=True)
class Augmentation:
    """Augments batches; disabled changes are not computed.

    Mixing follows the changes of single images.

    Attributes:
        settings: the table ``[augment]``.
        seed: the recipe's; may be traced.
        in_cpp: whether the pixels are computed in C++, which has to be there.
    """

    settings: Augment
    seed: int | jax.Array
    in_cpp: bool = False

    def table(self, epoch: jax.Array, count: int) -> Draws:
        """Return the random numbers of an epoch's changes, for all images of a split.

        A compiled loop over batches should compute the table before it starts. Inside the loop, the
        draw of an image's number would be fused into the work on its pixels and repeated for each.

        Args:
            epoch: int32, from 0.
            count: images in the split.

        Returns:
            By name, float32 [count], uniform in [0, 1).
        """
        return self._drawn(epoch, jnp.arange(count, dtype=jnp.int32))

    def __call__(
        self,
        images: jax.Array,
        labels: jax.Array,
        rows: jax.Array,
        epoch: jax.Array,
        table: Draws | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """Return a batch as augmented in an epoch.

        Args:
            images: uint8 [batch, height, width, channels].
            labels: of any shape [batch, ...]; for mixup and cutmix one-hot, float32
                [batch, classes].
            rows: int32 [batch], the images' positions in their split.
            epoch: int32, from 0.
            table: of this epoch, if it was computed before.

        Returns:
            Images and labels of the same shapes and dtypes.
        """
        settings = self.settings
        if self._changes:
            if table is None:
                drawn = self._drawn(epoch, rows)
            else:
                drawn = {name: values[rows] for name, values in table.items()}
            apply = changes.applied_in_cpp if self.in_cpp else changes.applied
            chosen = changes.chosen(settings, drawn, epoch, images.shape[1:3])
            images = apply(settings, images, chosen)
        if settings.mixes:
            key = jax.random.fold_in(jax.random.fold_in(jax.random.key(self.seed), epoch), rows[0])
            images, labels = mix(settings, images, labels, key, self.in_cpp)
        return images, labels

    @property
    def _changes(self) -> bool:
        """Whether single images are changed."""
        return self.settings.model_copy(update={"mixup": 0.0, "cutmix": 0.0}) != Augment()

    def _drawn(self, epoch: jax.Array, rows: jax.Array) -> Draws:
        if not self._changes:
            return {}
        drawn = draws(self.seed, epoch, rows)
        if self.settings.flip == "alternating":
            # The first epoch's draw decides for all: any two in a row show an image both ways.
            drawn["flip"] = draws(self.seed, jnp.zeros_like(epoch), rows)["flip"]
        return drawn


def draws(seed: int | jax.Array, epoch: jax.Array, rows: jax.Array) -> Draws:
    """Return each image's random numbers by their names, float32 [batch], uniform in [0, 1)."""
    words = jnp.stack([jnp.asarray(seed, jnp.uint32), jnp.asarray(epoch, jnp.uint32)])
    epoch_word = hashed_bits(words, (1,))[0]

    def of_image(row: jax.Array) -> jax.Array:
        return hashed_bits(jnp.stack([epoch_word, row.astype(jnp.uint32)]), (len(DRAWS),))

    # 24 bits are what a float32 below 1 can hold: none is rounded up to 1.
    uniform = (jax.vmap(of_image)(rows) >> 8).astype(jnp.float32) / 2**24
    return {name: uniform[:, index] for index, name in enumerate(DRAWS)}


def mix(
    settings: Augment, images: jax.Array, labels: jax.Array, key: jax.Array, in_cpp: bool = False
) -> tuple[jax.Array, jax.Array]:
    """Mix each image and its label with those of another in the batch.

    mixup (Zhang et al. 2018) blends the images, cutmix (Yun et al. 2019) pastes a box of the other
    one; as in both papers' own code, one weight and one box serve a batch. With both on, a coin
    decides for the batch.

    Args:
        settings: with ``mixup`` or ``cutmix`` above 0.
        images: uint8 [batch, height, width, channels].
        labels: one-hot, float32 [batch, classes].
        key: of JAX.
        in_cpp: whether to compute the pixels in C++.

    Raises:
        ValueError: if the labels are not one-hot.
    """
    if labels.ndim != 2:
        raise ValueError(f"labels of shape {labels.shape} cannot be mixed: expected one-hot ones")
    height, width = images.shape[1:3]
    partners, blend, paste, coin = jax.random.split(key, 4)
    # The weight of an image at each of its pixels, the rest being its partner's.
    weights = jnp.ones((height, width), jnp.float32)
    if settings.mixup:
        weights = jax.random.beta(blend, settings.mixup, settings.mixup) * weights
    if settings.cutmix:
        outside = _outside_box(settings.cutmix, height, width, paste)
        pasting = jax.random.bernoulli(coin) if settings.mixup else True
        weights = jnp.where(pasting, outside, weights)
    partner = jax.random.permutation(partners, len(images))
    label = weights.mean()
    images = changes.mixed(images, partner, weights, in_cpp)
    return images, label * labels + (1 - label) * labels[partner]


def _outside_box(alpha: float, height: int, width: int, key: jax.Array) -> jax.Array:
    """Return 0 in a random box and 1 around it, float32 [height, width]."""
    kept_key, down_key, right_key = jax.random.split(key, 3)
    side = jnp.sqrt(1 - jax.random.beta(kept_key, alpha, alpha))
    rows, columns = ((side * size).astype(jnp.int32) for size in (height, width))
    top = jax.random.randint(down_key, (), 0, height) - rows // 2
    left = jax.random.randint(right_key, (), 0, width) - columns // 2
    return 1 - transforms.box(height, width, top, left, rows, columns).astype(jnp.float32)
