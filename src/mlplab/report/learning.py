"""Findings that rest on the curves: what loss and accuracy did from epoch to epoch."""

import math

import numpy as np
from numpy.typing import NDArray

from mlplab.recipes.recipe import Recipe
from mlplab.report import advice
from mlplab.report.formatting import is_number, percent, points
from mlplab.report.history import PROGRESS, Curves, idle_epochs
from mlplab.report.judgement import held_out
from mlplab.runs.record import Finding, Record

# Five points between training and held-out accuracy: several times the noise of 10,000 images.
OVERFITTING_GAP = 0.05
# Five epochs in which a loss falls by less than 1 %: at that pace 50 more bring less than a tenth.
SPAN = 5
# A training loss of more than 1.5 times that of guessing is worse than having learnt nothing.
EXPLODED = 1.5
# With less than 90 % of its training images right and a gap under 2 points, a network is not
# fitting them; a gap that small is not overfitting either, whatever the loss does.
FITTED, SMALL_GAP = 0.90, 0.02
# Up to one and a half times the accuracy of guessing, nothing has been learnt.
GUESSING = 1.5


def divergence(curves: Curves, record: Record, recipe: Recipe) -> Finding | None:
    """Say from which epoch on the loss is not finite, or far above that of guessing."""
    ceiling = EXPLODED * max(
        math.log(_classes(record)) if _classes(record) else 0.0,
        curves.loss[0] if len(curves.loss) and np.isfinite(curves.loss[0]) else 0.0,
    )
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
    smaller = advice.smaller_steps(recipe)
    return Finding(
        kind="divergence",
        heading="Divergence",
        text=f"Training diverged. {when}: the steps were too large. {smaller.text}",
        overrides=list(smaller.overrides),
        evidence={
            "epoch": int(curves.epoch[index]) if index is not None else None,
            "first_loss": _value(curves.loss, 0),
            "last_loss": _value(curves.loss, -1),
        },
    )


def rewound(record: Record) -> Finding | None:
    """Say which epochs were repeated because they diverged."""
    rewinds = record.rewinds
    if not rewinds:
        return None
    epochs = ", ".join(str(int(rewind["epoch"])) for rewind in rewinds)
    return Finding(
        kind="rewound",
        heading="Repeated epochs",
        text=(
            f"The loss was no longer finite in epoch {epochs}: each time, training repeated the"
            f" epoch with half the learning rate, from then on {rewinds[-1]['learning_rate']:.3g}."
            " A smaller `optimizer.learning_rate` from the start, or a warm-up (`[schedule]`),"
            " would make that unnecessary."
        ),
        evidence={"rewinds": rewinds},
    )


def overfitting(curves: Curves, record: Record, recipe: Recipe) -> Finding | None:
    """Say how large the gap between training and held-out accuracy is, and since when."""
    if not curves.validated or len(curves.loss) < 2:  # in one epoch nothing was seen twice
        return None
    gap, train, validation, split = _gap(curves, record)
    turned, crossed = curves.turned, curves.crossed
    if not _clear(gap, record, train) and (turned is None or gap <= SMALL_GAP):
        return None
    last = float(curves.accuracy[-1] - curves.val_accuracy[-1])
    text = (
        f"The network overfits: it recognises {percent(train)} of the training images but"
        f" {percent(validation)} of the {split} images, a gap of {points(gap)}."
    )
    # With a teacher, the training loss is that of its predictions, not comparable with the labels'.
    if crossed is not None and recipe.teacher is None:
        text += f" The training loss is below the {split} loss from epoch {crossed} on."
    rise = float(curves.val_loss[-1] / curves.val_loss.min() - 1)
    if turned is not None:
        text += (
            f" Since epoch {turned} the {split} loss has risen by {percent(rise)} while the"
            f" training loss kept falling; after the last epoch the gap is {points(last)}."
        )
    remedy = advice.more_regularisation(recipe)
    return Finding(
        kind="overfitting",
        heading="Overfitting",
        text=f"{text} {remedy.text}",
        overrides=list(remedy.overrides),
        evidence={
            "train_accuracy": train,
            f"{split}_accuracy": validation,
            "gap": gap,
            "gap_last_epoch": last,
            "opened_epoch": turned if turned is not None else crossed,
            "validation_loss_turned_epoch": turned,
            "validation_loss_rise": rise,
        },
    )


def under_training(curves: Curves, record: Record, recipe: Recipe) -> Finding | None:
    """Say that training ended too early, or that the network does not fit even what it saw."""
    loss = curves.val_loss if curves.validated else curves.loss
    if len(loss) < 2 or not np.isfinite(loss).all():
        return None
    span = max(1, len(loss) // 10)
    fall = float(1 - loss[-1] / loss[:-span].min())
    if int(loss.argmin()) == len(loss) - 1 and fall > PROGRESS:
        which = "validation" if curves.validated else "training"
        over = f"the last {span} epochs" if span > 1 else "the last epoch"
        interrupted = record.status == "interrupted"
        end = "It was interrupted" if interrupted else "Training ended"
        remedy = advice.NONE if interrupted else advice.more_epochs(recipe, len(loss))
        return Finding(
            kind="under-training",
            heading="Under-training",
            text=(
                f"{end} while it was still learning: the {which} loss fell by {percent(fall)} over"
                f" {over}, to its lowest. {remedy.text}"
            ).rstrip(),
            overrides=list(remedy.overrides),
            evidence={"fall": fall, "over_epochs": span, "last_loss": float(loss[-1])},
        )
    if not curves.validated or len(loss) < 3 or _guesses(curves, record):
        return None
    gap, train, validation, split = _gap(curves, record)
    if not (train < FITTED and abs(gap) < SMALL_GAP):
        return None
    capacity = advice.more_capacity(recipe)
    return Finding(
        kind="under-training",
        heading="Under-training",
        overrides=list(capacity.overrides),
        text=(
            f"The network underfits: {percent(train)} on the training images and"
            f" {percent(validation)} on the {split} images. It does not fit even the images it was"
            f" trained on, so more regularisation will not help. {capacity.text}"
        ),
        evidence={"train_accuracy": train, f"{split}_accuracy": validation, "gap": gap},
    )


def plateau(curves: Curves, record: Record, recipe: Recipe) -> Finding | None:
    """Say since when nothing has improved: neither loss, or only that of validation."""
    if _guesses(curves, record):
        return _at_chance(curves, record, recipe)
    if len(curves.loss) <= SPAN or curves.turned is not None or curves.annealed:
        return None
    idle = idle_epochs(curves.val_loss) if curves.validated else idle_epochs(curves.loss)
    stalled = idle_epochs(curves.loss) >= SPAN
    if idle < SPAN or (stalled and curves.accuracy[-1] >= FITTED):
        return None
    since = int(curves.epoch[-1 - idle])
    remedy = advice.other_steps(recipe) if stalled else advice.NONE
    if stalled:
        text = (
            f"Training has stalled: since epoch {since} the loss has not fallen by more than"
            f" {percent(PROGRESS)}. {remedy.text}"
        )
    else:
        text = (
            f"The validation loss has not fallen by more than {percent(PROGRESS)} since epoch"
            f" {since}, while the training loss has. More epochs will not help; regularisation, or"
            " more images, might."
        )
    return Finding(
        kind="plateau",
        heading="Plateau",
        text=text,
        overrides=list(remedy.overrides),
        evidence={"since_epoch": since, "idle_epochs": idle, "training_stalled": stalled},
    )


def early_stopping(curves: Curves, record: Record, recipe: Recipe) -> Finding | None:
    """Say where training stopped, and which epoch's weights were kept."""
    limit = recipe.training.epochs
    ran, best = len(curves.epoch), record.best_epoch
    if record.status != "finished" or not 0 < best < ran or ran >= limit:
        return None
    patience = advice.more_patience(recipe)
    return Finding(
        kind="early-stopping",
        heading="Early stopping",
        text=(
            f"Training stopped early after epoch {ran} of {limit}, because nothing had improved"
            f" enough since epoch {best}, which is the best. If the curves still looked promising,"
            f" give it more patience: `{patience}`."
        ),
        overrides=[patience],
        evidence={"stopped_epoch": ran, "best_epoch": best, "epoch_limit": limit},
    )


def _gap(curves: Curves, record: Record) -> tuple[float, float, float, str]:
    """Return the gap, both accuracies and the held-out split's name: as evaluated, or by epoch.

    The accuracy of a training epoch is measured with dropout and while the weights still change;
    the evaluation of the kept weights, if there is one, is the fairer comparison.
    """
    split, held = held_out(record)
    train = record.metrics.get("train", {}).get("accuracy")
    validation = held.get("accuracy")
    if is_number(train) and is_number(validation):
        return train - validation, train, validation, split
    by_epoch = float(curves.accuracy[curves.best]), float(curves.val_accuracy[curves.best])
    return by_epoch[0] - by_epoch[1], *by_epoch, "validation"


def _clear(gap: float, record: Record, train: float) -> bool:
    """Return whether a gap is large, and not due to chance with few held-out images."""
    high = held_out(record)[1].get("accuracy_high")
    return gap > OVERFITTING_GAP and not (is_number(high) and train <= high)


def _guesses(curves: Curves, record: Record) -> bool:
    classes = _classes(record)
    return len(curves.loss) >= 3 and classes > 0 and curves.accuracy[-1] < GUESSING / classes


def _at_chance(curves: Curves, record: Record, recipe: Recipe) -> Finding:
    chance = 1 / _classes(record)
    remedy = advice.other_steps(recipe)
    return Finding(
        kind="plateau",
        heading="Plateau",
        text=(
            f"Nothing was learnt: after {len(curves.loss)} epochs the training accuracy is"
            f" {percent(curves.accuracy[-1])}, that of guessing {percent(chance)}."
            f" {remedy.text}"
        ),
        overrides=list(remedy.overrides),
        evidence={"accuracy": float(curves.accuracy[-1]), "chance": chance},
    )


def _classes(record: Record) -> int:
    return len(record.class_names)


def _value(values: NDArray[np.float64], index: int) -> float | None:
    return float(values[index]) if len(values) and np.isfinite(values[index]) else None
