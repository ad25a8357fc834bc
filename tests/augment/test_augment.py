"""Each operation does what it says, and any image of any epoch can be replayed."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.helpers import train

import mlplab
from mlplab import recipes
from mlplab.augment import transforms
from mlplab.augment.pipeline import Augmentation, check, draws
from mlplab.errors import RecipeError
from mlplab.experiment.networks import load_network
from mlplab.recipes.recipe import Augment, Loss
from mlplab.training import losses

RNG = np.random.default_rng(0)
N, SIDE = 16, 12
IMAGES: Any = RNG.integers(0, 256, (N, SIDE, SIDE, 3), dtype=np.uint8)
LABELS: Any = np.eye(4, dtype=np.float32)[RNG.integers(0, 4, N)]
ROWS: Any = np.arange(N, dtype=np.int32)
EACH: list[dict[str, Any]] = [
    {"flip": "random"},
    {"flip": "alternating"},
    {"shift": 3},
    {"crop_resize": 0.3},
    {"rotation": 30.0},
    {"colour": 0.5},
    {"cutout": 5},
]
ALL = {key: value for settings in EACH for key, value in settings.items()}
MIXES: list[dict[str, Any]] = [
    {"mixup": 0.5},
    {"cutmix": 1.0},
    {"mixup": 0.5, "cutmix": 1.0},
]


def applied(
    settings: dict[str, Any], rows: NDArray[np.int32] = ROWS, epoch: int = 0, seed: int = 3
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    apply = jax.jit(Augmentation(Augment(**settings), seed))
    images, labels = apply(IMAGES[rows], LABELS[rows], rows, jnp.int32(epoch))
    return np.asarray(images), np.asarray(labels)


def full(value: float, dtype: Any = np.float32) -> jax.Array:
    return jnp.full(N, value, dtype)


def test_nothing_changes_when_all_is_off() -> None:
    program = jax.make_jaxpr(Augmentation(Augment(), 0))(IMAGES, LABELS, ROWS, jnp.int32(0))
    assert not program.eqns
    assert (applied({})[0] == IMAGES).all()


@pytest.mark.parametrize("settings", [*EACH, ALL, *MIXES], ids=lambda each: "-".join(each))
def test_shape_and_type_stay_and_images_change(settings: dict[str, Any]) -> None:
    images, labels = applied(settings)
    assert (images.shape, images.dtype) == (IMAGES.shape, np.uint8)
    assert (labels.shape, labels.dtype) == (LABELS.shape, np.float32)
    assert (images != IMAGES).any()


@pytest.mark.parametrize("settings", [*EACH, ALL], ids=lambda each: "-".join(each))
def test_an_image_is_replayed_in_any_batch(settings: dict[str, Any]) -> None:
    whole, _ = applied(settings, epoch=5)
    rows = np.array([9, 2, 14], np.int32)
    assert (applied(settings, rows, epoch=5)[0] == whole[rows]).all()
    assert (applied(settings, epoch=6)[0] != whole).any()
    assert (applied(settings, epoch=5, seed=4)[0] != whole).any()


@pytest.mark.parametrize("settings", [*EACH, ALL, *MIXES], ids=lambda each: "-".join(each))
def test_a_table_made_before_gives_the_same_images(settings: dict[str, Any]) -> None:
    augment, epoch, rows = Augmentation(Augment(**settings), 3), jnp.int32(4), ROWS[[9, 2, 14]]
    drawn = augment(IMAGES[rows], LABELS[rows], rows, epoch)
    from_table = augment(IMAGES[rows], LABELS[rows], rows, epoch, augment.table(epoch, N))
    for one, other in zip(drawn, from_table, strict=True):
        np.testing.assert_array_equal(one, other)


def test_draws_are_uniform_and_each_its_own() -> None:
    drawn = draws(0, jnp.int32(1), jnp.arange(4000, dtype=jnp.int32))
    table = np.stack([np.asarray(values) for values in drawn.values()])
    assert 0 <= table.min() < table.max() < 1
    np.testing.assert_allclose(table.mean(axis=1), 0.5, atol=0.025)
    assert np.abs(np.corrcoef(table) - np.eye(len(table))).max() < 0.07


def test_flip_mirrors_about_half_of_the_images() -> None:
    images, _ = applied({"flip": "random"})
    mirrored = (images == IMAGES[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (mirrored | (images == IMAGES).all(axis=(1, 2, 3))).all()
    assert 3 < mirrored.sum() < 13


def test_alternating_flips_show_the_other_side_in_every_epoch() -> None:
    epochs = [applied({"flip": "alternating"}, epoch=epoch)[0] for epoch in range(3)]
    assert (epochs[1] == epochs[0][:, :, ::-1]).all()
    assert (epochs[2] == epochs[0]).all()


@pytest.mark.parametrize(("down", "right"), [(0, 0), (2, -1), (-3, 3)])
def test_shift_moves_pixels_and_reflects_at_the_edge(down: int, right: int) -> None:
    shifted = transforms.shift(IMAGES, full(down, np.int32), full(right, np.int32), 3)
    padded = np.pad(IMAGES, ((0, 0), (3, 3), (3, 3), (0, 0)), mode="reflect")
    expected = padded[:, 3 - down : 3 - down + SIDE, 3 - right : 3 - right + SIDE]
    assert (np.asarray(shifted) == expected).all()


def test_shifts_reach_both_ends_and_no_further() -> None:
    rows: Any = np.arange(500, dtype=np.int32)
    ramp: Any = np.broadcast_to(
        np.arange(SIDE, dtype=np.uint8)[:, None, None], (500, SIDE, SIDE, 1)
    )
    images, _ = Augmentation(Augment(shift=2), 0)(ramp, ROWS, rows, jnp.int32(0))
    assert set(6 - np.asarray(images)[:, 6, 6, 0].astype(int)) == {-2, -1, 0, 1, 2}


def warped(
    images: Any, share: float, down: float, right: float, degrees: float
) -> NDArray[np.uint8]:
    places = transforms.places(images.shape[1:3], *map(full, (share, down, right, degrees)))
    return np.asarray(transforms.warp(images, places))


def test_the_whole_area_unturned_is_the_image_itself() -> None:
    assert (warped(IMAGES, 1, 0.3, 0.8, 0) == IMAGES).all()
    assert (applied({"crop_resize": 1.0})[0] == IMAGES).all()


def test_a_quarter_turn_is_clockwise() -> None:
    assert (warped(IMAGES, 1, 0.5, 0.5, 90) == np.rot90(IMAGES, -1, axes=(1, 2))).all()


def test_a_crop_enlarges_its_corner_as_pillow_does() -> None:
    from PIL import Image

    half = SIDE // 2
    for down, right in ((0, 0), (1, 0), (1, 1)):
        part = (right * half, down * half, (right + 1) * half, (down + 1) * half)
        picture = Image.fromarray(IMAGES[0]).resize((SIDE, SIDE), Image.Resampling.BILINEAR, part)
        inner = slice(1, -1)  # at the edge, Pillow sees nothing beyond the part
        ours = warped(IMAGES, 0.25, down, right, 0)[0, inner, inner].astype(int)
        assert np.abs(ours - np.asarray(picture)[inner, inner]).max() <= 1


def test_reflection_keeps_the_values_of_a_plain_image() -> None:
    plain = np.full((N, SIDE, SIDE, 3), 200, np.uint8)
    assert (warped(plain, 0.7, 0, 1, 33) == 200).all()


def test_colour_scales_brightness_contrast_and_saturation() -> None:
    one = full(1)
    assert (np.asarray(transforms.colour(IMAGES, one, one, one)) == IMAGES).all()
    half = np.asarray(transforms.colour(IMAGES, full(0.5), one, one)).astype(int)
    assert np.abs(half - IMAGES / 2).max() <= 0.51
    flat = np.asarray(transforms.colour(IMAGES, one, full(0), one))
    assert (flat == flat[:, :1, :1, :1]).all()
    grey = np.asarray(transforms.colour(IMAGES, one, one, full(0))).astype(int)
    assert np.abs(grey - IMAGES @ np.array(transforms.LUMA)[:, None]).max() <= 0.51


@pytest.mark.parametrize(("row", "painted"), [(4, 16), (-2, 8)])
def test_cutout_paints_a_square_that_the_edge_may_cut(row: int, painted: int) -> None:
    black = np.zeros_like(IMAGES)
    images = np.asarray(transforms.cutout(black, full(row, np.int32), full(4, np.int32), 4))
    assert ((images == transforms.GREY).all(axis=-1).sum(axis=(1, 2)) == painted).all()
    assert set(np.unique(images)) == {0, transforms.GREY}


@pytest.mark.parametrize("settings", MIXES, ids=lambda each: "-".join(each))
def test_labels_are_mixed_as_the_pixels_are(settings: dict[str, Any]) -> None:
    """Plain images whose pixels say their class: the mean pixel tells the weight."""
    plain: Any = np.broadcast_to((80 * LABELS.argmax(axis=1))[:, None, None, None], IMAGES.shape)
    for epoch in range(6):
        apply = Augmentation(Augment(**settings), 0)
        images, labels = apply(plain.astype(np.uint8), LABELS, ROWS, jnp.int32(epoch))
        np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-6)
        np.testing.assert_allclose(
            np.asarray(images).mean(axis=(1, 2, 3)), labels @ (80 * np.arange(4)), atol=0.51
        )


def test_sparse_labels_cannot_be_mixed() -> None:
    with pytest.raises(ValueError, match="one-hot"):
        Augmentation(Augment(mixup=1.0), 0)(IMAGES, ROWS, ROWS, jnp.int32(0))


def test_mixing_takes_the_dense_form_of_the_default_loss() -> None:
    loss = losses.build(Loss(), mixed=True)
    assert losses.encode(loss, np.array([1], np.int32), 3).tolist() == [[0, 1, 0]]
    with pytest.raises(RecipeError, match=r"augment\.mixup.*categorical_hinge"):
        losses.build(Loss(name="categorical_hinge"), mixed=True)


@pytest.mark.parametrize("settings", [{"shift": SIDE}, {"cutout": SIDE + 1}])
def test_what_the_images_are_too_small_for_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=rf"augment\.{next(iter(settings))}.*12 pixels"):
        check(Augment(**settings), (SIDE, SIDE, 3))
    check(Augment(shift=SIDE - 1, cutout=SIDE), (SIDE, SIDE, 3))


@pytest.mark.parametrize(
    "wrong",
    [
        *("flip=sideways", "flp=random", "shift=-1", "shift=1.5", "crop_resize=2", "colour=1.1"),
        *("rotation=181", "cutout=-2", "mixup=-1", "mixup=inf", "cutmix=nan"),
    ],
)
def test_wrong_settings_are_refused(wrong: str) -> None:
    with pytest.raises(RecipeError, match=r"augment\."):
        recipes.load("quickstart", [f"augment.{wrong}"])


@pytest.mark.torture
def test_an_augmented_run_gives_the_same_bits_twice(tmp_path: Path) -> None:
    recipe = mlplab.recipe(
        "quickstart",
        augment={"flip": "alternating", "shift": 1, "rotation": 10, "mixup": 0.2, "cutmix": 1.0},
        training={"epochs": 2},
        model={"hidden": [16]},
        callbacks={"tensorboard": None},
        evaluation={"splits": ["validation"]},
    )
    first, again = (train(recipe, tmp_path, name) for name in "ab")
    assert [row["loss"] for row in first.history] == [row["loss"] for row in again.history]
    assert first.recipe == again.recipe
    for mine, other in zip(load_network(first).weights, load_network(again).weights, strict=True):
        assert (np.asarray(mine) == np.asarray(other)).all()
