"""What keeps a network from fitting its training images: steps, gradients, inputs, time."""

import math
from typing import Any

import numpy as np

from mlplab.report import advice
from mlplab.report.facts import Facts
from mlplab.report.formatting import is_number, number, percent
from mlplab.runs.record import Finding
from mlplab.text import counted

# A training loss of more than 1.5 times that of guessing is worse than having learnt nothing.
EXPLODED = 1.5
# Optimizers tolerate a factor of three around a typical rate well, and ten poorly.
HIGH, LOW = 10.0, 0.05
# Inputs this close together, of a range of 2, move the first layer's outputs by little more than
# rounding at its usual initial weights. Natural images have 0.5.
FAINT = 0.12
# The slope of a sigmoid is a quarter at most, so each layer shrinks the gradient.
SQUASHING = frozenset({"sigmoid", "hard_sigmoid"})
DEEP = 4  # layers from which on that matters
VANISHED = 0.03  # gradient of the first layer over the largest
MOST_DEAD = 0.5  # share of dead units in a layer that hinders learning
STRONG_DROPOUT = 0.6
FEW_STEPS = 10  # updates of the weights in an epoch
SHORT = 1_000  # updates in a whole training


def divergence(facts: Facts) -> Finding | None:
    """Say from which epoch on the loss is not finite, or far above that of guessing."""
    curves, record = facts.curves, facts.record
    classes = len(record.class_names)
    first = curves.loss[0] if len(curves.loss) and np.isfinite(curves.loss[0]) else 0.0
    ceiling = EXPLODED * max(math.log(classes) if classes else 0.0, first)
    index = curves.unreal
    what = "is no longer a number"
    if index is None and len(curves.loss) > 1 and ceiling > 0 and curves.loss[-1] > ceiling:
        index = int(np.flatnonzero(curves.loss > ceiling)[0])
        what = f"rose to {curves.loss[-1]:.3g}, above that of guessing or of its own first epoch"
    if index is None and record.status != "diverged":
        return None
    when = "The loss became infinite or not a number within the first epoch"
    if index is not None:
        when = f"From epoch {curves.epoch[index]} on the loss {what}"
    smaller = advice.lower_rate(facts.recipe, facts.rate)
    return advice.advised(
        "divergence",
        "Divergence",
        f"Training diverged. {when}: the steps were too large.",
        smaller,
        epoch=int(curves.epoch[index]) if index is not None else None,
        first_loss=_value(curves.loss, 0),
        last_loss=_value(curves.loss, -1),
    )


def faint_inputs(facts: Facts) -> Finding | None:
    """Say that the images have too little contrast for their scaling."""
    images, scaling = facts.record.images, facts.recipe.data.scaling
    if images is None or scaling == "standard" or not facts.imperfect:
        return None
    spread = images.pixel_deviation / (127.5 if scaling == "symmetric" else 255)
    if spread >= FAINT or facts.recipe.model.name == "pretrained":
        return None
    remedy = advice.to_try("Give each channel mean 0 and deviation 1", "data.scaling=standard")
    return advice.advised(
        "scaling",
        "Faint images",
        (
            f"The images have little contrast: their pixels have a standard deviation of"
            f" {images.pixel_deviation:.1f} of 255, which `data.scaling={scaling}` makes"
            f" {spread:.2g}. The network sees almost the same input for every image."
        ),
        remedy,
        pixel_deviation=images.pixel_deviation,
        input_deviation=spread,
    )


def rate_too_high(facts: Facts) -> Finding | None:
    """Say that the learning rate is far above what is usual, and learning suffers."""
    ratio = facts.rate_ratio
    if ratio is None or ratio < HIGH or not facts.imperfect or facts.curves.annealed:
        return None
    if not facts.learnt_nothing and ratio < 3 * HIGH and _squashes(facts):
        return None  # which learn little at any rate
    remedy = advice.lower_rate(facts.recipe, facts.rate)
    return advice.advised(
        "learning-rate",
        "Learning rate too high",
        (
            f"The learning rate of {number(facts.rate)} is {_times(ratio)} times what is usual with"
            f" {facts.recipe.optimizer.name}, and {_fitted(facts)}."
        ),
        remedy,
        learning_rate=facts.rate,
        times_typical=ratio,
        accuracy=facts.train,
    )


def vanishing_gradients(facts: Facts) -> Finding | None:
    """Say that the first layers get almost no gradient."""
    norms = _gradients(facts)
    if len(norms) < DEEP or not facts.poor or facts.gap > 0.1 or max(norms) == 0:
        return None
    ratio, squashes = norms[0] / max(norms), _squashes(facts)
    if ratio > VANISHED and not squashes:
        return None
    remedy = advice.stronger_gradients(facts.recipe, squashes)
    activation = getattr(facts.recipe.model, "activation", "this kind")
    why = f"{len(norms)} layers of {activation} pass little of the gradient back"
    if squashes:
        why += ", because each of them shrinks it"
    return advice.advised(
        "vanishing-gradients",
        "Vanishing gradients",
        (
            f"{why}: the first layer's is {number(ratio, 2)} of the largest at the end of training,"
            f" and {_fitted(facts)}."
        ),
        remedy,
        gradient_norms=norms,
        ratio=ratio,
        accuracy=facts.train,
    )


def mostly_dead(facts: Facts) -> Finding | None:
    """Say that most units of a layer are dead, and the network does not fit."""
    shares = dead_shares(facts)
    if not facts.poor or not shares or max(shares.values()) < MOST_DEAD:
        return None
    name = max(shares, key=lambda layer: shares[layer])
    ratio = facts.rate_ratio
    if ratio is not None and ratio >= 3:
        remedy = advice.lower_rate(facts.recipe, facts.rate)
    else:
        remedy = advice.to_try("Try units that cannot die", "model.activation=leaky_relu")
    return advice.advised(
        "dead-units",
        "Dead units",
        (
            f"{percent(shares[name])} of the units of {name} output zero for every image. They"
            f" get no gradient and can no longer learn, and {_fitted(facts)}."
        ),
        remedy,
        **{f"{layer}_dead_share": share for layer, share in shares.items()},
    )


def rate_too_low(facts: Facts) -> Finding | None:
    """Say that the learning rate is far below what is usual, and the loss falls slowly."""
    ratio = facts.rate_ratio
    if ratio is None or ratio > LOW or not facts.poor or facts.gap > 0.1:
        return None
    remedy = advice.higher_rate(facts.recipe, facts.rate)
    return advice.advised(
        "learning-rate",
        "Learning rate too low",
        (
            f"The learning rate of {number(facts.rate)} is {_times(1 / ratio)} times lower than"
            f" what is usual with {facts.recipe.optimizer.name}, and {_fitted(facts)}."
        ),
        remedy,
        learning_rate=facts.rate,
        times_typical=ratio,
        accuracy=facts.train,
    )


def few_steps(facts: Facts) -> Finding | None:
    """Say that the batches are so large that the weights were updated only a few times."""
    per_epoch, images = facts.steps_per_epoch, facts.images
    if per_epoch is None or images is None or per_epoch > FEW_STEPS:
        return None
    steps = per_epoch * len(facts.curves.loss)
    smaller = 2 ** int(math.log2(max(16, min(128, images / 40))))
    if steps > SHORT or not facts.imperfect or smaller * 2 > facts.recipe.training.batch_size:
        return None
    if (facts.train or 0) > 0.98 or facts.gap > 0.1:
        return None
    remedy = advice.to_try(
        "Smaller batches update them more often", f"training.batch_size={smaller}"
    )
    return advice.advised(
        "few-steps",
        "Few steps",
        (
            f"The weights were updated only {counted(steps, 'time')}:"
            f" {counted(per_epoch, 'step')} an epoch, because a batch has"
            f" {min(images, facts.recipe.training.batch_size):,} of {images:,} images."
        ),
        remedy,
        steps=steps,
        steps_per_epoch=per_epoch,
        images=images,
    )


def strong_penalty(facts: Facts) -> Finding | None:
    """Say that penalties or weight decay leave the network no freedom."""
    if not facts.imperfect or facts.gap > 0.05:
        return None
    remedy = advice.weaker_penalty(facts.recipe, facts.rate)
    if not remedy.overrides:
        return None
    return advice.advised(
        "underfitting",
        "Underfitting",
        f"The penalty on the weights is strong, and {_fitted(facts)}.",
        remedy,
        **{"train_accuracy": facts.train, f"{facts.split}_accuracy": facts.held},
    )


def strong_dropout(facts: Facts) -> Finding | None:
    """Say that dropout is so strong that the network does not fit."""
    if facts.dropout < STRONG_DROPOUT or not facts.imperfect or facts.gap > 0.1:
        return None
    remedy = advice.to_try("Try less", "model.dropout=0.2")
    return advice.advised(
        "underfitting",
        "Underfitting",
        f"Dropout of {facts.dropout:g} is strong, and {_fitted(facts)}.",
        remedy,
        dropout=facts.dropout,
        train_accuracy=facts.train,
    )


def under_training(facts: Facts) -> Finding | None:
    """Say that training ended while the network was still learning."""
    ran = len(facts.curves.loss)
    perfect = facts.held is not None and facts.held > 0.99
    if perfect or not ran or facts.curves.unreal is not None:
        return None
    one = ran == 1 and facts.recipe.training.epochs == 1 and (facts.train or 0) < 0.99
    if not one and not facts.still_learning:
        return None
    interrupted = facts.record.status == "interrupted"
    remedy = advice.NONE if interrupted else advice.more_epochs(facts.recipe, ran)
    which = facts.split if facts.curves.validated else "training"
    how = f"the {which} loss fell by {percent(facts.fall)} over"
    how += f" the last {facts.span} epochs" if facts.span > 1 else " the last epoch"
    text = f"{'It was interrupted' if interrupted else 'Training ended'} while it was still"
    text += f" learning: {how}, to its lowest."
    if one:
        text = "One epoch shows each image once, and a network needs to see them more often."
    return advice.advised(
        "under-training",
        "Under-training",
        text,
        remedy,
        fall=facts.fall,
        over_epochs=facts.span,
        last_loss=_value(facts.curves.loss, -1),
        epochs=ran,
    )


def learnt_nothing(facts: Facts) -> Finding | None:
    """Say that the network does no better than guessing, where no cause was found."""
    if not facts.learnt_nothing:
        return None
    remedy = advice.other_rate(facts.recipe, facts.rate)
    return advice.advised(
        "plateau",
        "Nothing was learnt",
        f"Nothing was learnt: {_fitted(facts)}.",
        remedy,
        accuracy=facts.train,
        guessing=facts.guessing,
    )


def dead_shares(facts: Facts) -> dict[str, float]:
    """Return the share of dead units of each layer with ReLUs."""
    return {
        str(layer.get("layer")): float(layer["dead_share"])
        for layer in facts.layers
        if is_number(layer.get("dead_share"))
    }


def _gradients(facts: Facts) -> list[float]:
    norms: list[Any] = [layer.get("gradient_norm") for layer in facts.layers]
    return [float(norm) for norm in norms if is_number(norm)]


def _times(ratio: float) -> str:
    """Return a large ratio in words: ``10,000``."""
    return f"{float(f'{ratio:.2g}'):,.0f}"


def _squashes(facts: Facts) -> bool:
    model = facts.recipe.model
    hidden = getattr(model, "hidden", None)
    deep = isinstance(hidden, list) and len(hidden) >= DEEP
    return deep and str(getattr(model, "activation", "")).lower() in SQUASHING


def _fitted(facts: Facts) -> str:
    """Return how well the training images are recognised, in words."""
    if facts.train is None:
        return "learning suffers"
    text = f"only {percent(facts.train)} of the training images are recognised"
    if facts.learnt_nothing:
        return f"{text}; guessing the most frequent class gives {percent(facts.guessing)}"
    return text


def _value(values: Any, index: int) -> float | None:
    return float(values[index]) if len(values) and np.isfinite(values[index]) else None
