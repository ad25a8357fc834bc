"""How training and held-out images compare: overfitting, underfitting, uneven classes."""

from mlplab.report import advice
from mlplab.report.facts import Facts
from mlplab.report.formatting import percent, points
from mlplab.report.history import PROGRESS, idle_epochs
from mlplab.report.judgement import held_out
from mlplab.runs.record import Finding
from mlplab.text import counted

# Five points between training and held-out accuracy: several times the noise of 10,000 images.
OVERFITTING_GAP = 0.05
# Below a third of the held-out errors, the gap is not what a change should aim at.
GAP_SHARE = 1 / 3
# With a gap under 2 points, a network that does not fit its training images underfits.
SMALL_GAP = 0.02
SPAN = 5  # epochs without progress that are a plateau
# Of labels that are wrong at random, about half rank in the lower half of the classes; of honest
# mistakes a sixth to a third (measured on the experiments of benchmarks/faults.py).
FAR_ERRORS = 0.4
FEWEST_ERRORS = 30  # from which such a share can be told from chance
SEVERAL = 6  # classes, so that the lower half does not hold the second choice
# Dropout and moved images slow learning down: in shorter trainings, they lowered accuracy.
FEW_UPDATES = 200
FEWEST_RARE = 5  # held-out images of the rarer half of the classes, to say anything about them
UNEVEN = 5  # times as many images in the largest class as in the smallest


def uneven_classes(facts: Facts) -> Finding | None:
    """Say that rare classes are recognised worse, and that they can be given more weight."""
    counts = facts.record.images.by_class if facts.record.images else []
    counts = [count for count in counts if count]
    metrics = held_out(facts.record)[1]
    accuracy, balanced = metrics.get("accuracy"), metrics.get("balanced_accuracy")
    support = (metrics.get("per_class") or {}).get("support")
    if support and sum(sorted(support)[: len(support) // 2]) < FEWEST_RARE:
        return None
    if len(counts) < 2 or max(counts) < UNEVEN * min(counts) or facts.recipe.loss.class_weights:
        return None
    if accuracy is None or balanced is None or accuracy - balanced < SMALL_GAP:
        return None
    remedy = advice.to_try("Give rare classes more weight", "loss.class_weights=balanced")
    return advice.advised(
        "imbalance",
        "Uneven classes",
        (
            f"The largest class has {max(counts):,} training images, the smallest"
            f" {min(counts):,}. {percent(accuracy)} of the {facts.split} images are recognised,"
            f" but only {percent(balanced)} of a class on average: rare classes are neglected."
        ),
        remedy,
        largest=max(counts),
        smallest=min(counts),
        accuracy=accuracy,
        balanced_accuracy=balanced,
    )


def bottleneck(facts: Facts) -> Finding | None:
    """Say that a layer has fewer units than there are classes, and the network does not fit."""
    hidden = getattr(facts.recipe.model, "hidden", None)
    classes = len(facts.record.class_names)
    if not isinstance(hidden, list) or not hidden or min(hidden) >= classes:
        return None
    if not facts.poor or facts.gap > OVERFITTING_GAP:
        return None
    capacity = advice.more_capacity(facts.recipe)
    return advice.advised(
        "underfitting",
        "Underfitting",
        (
            f"The narrowest layer has {min(hidden)} units for {classes} classes, and only"
            f" {percent(facts.train)} of the training images are recognised."
        ),
        capacity,
        units=min(hidden),
        classes=classes,
        train_accuracy=facts.train,
    )


def few_images(facts: Facts) -> Finding | None:
    """Say that only a share of the training images was used, and that held-out accuracy suffers."""
    if facts.recipe.data.share >= 1 or facts.gap < SMALL_GAP or not facts.gap_is_clear:
        return None
    return overfitting(facts, least=SMALL_GAP)


def random_labels(facts: Facts) -> Finding | None:
    """Say that many labels look wrong, because mistakes are not between similar classes."""
    doubts = facts.record.label_candidates.get(facts.split) or {}
    wrong, far = doubts.get("wrong") or 0, doubts.get("far") or 0
    if len(facts.record.class_names) < SEVERAL or wrong < FEWEST_ERRORS:
        return None
    if far < FAR_ERRORS * wrong or not facts.has_learnt or len(facts.curves.loss) < 3:
        return None
    remedy = advice.Advice("Look at the listed images; correct labels help more than any setting.")
    if facts.gap >= 2 * OVERFITTING_GAP and facts.gap_is_clear:  # it learns the wrong labels
        more = advice.more_regularisation(facts.recipe, None)
        remedy = advice.Advice(f"{remedy.text} Until then: {more.text}", more.overrides)
    return advice.advised(
        "noisy-labels",
        "Labels that look random",
        (
            f"Many labels are probably wrong: for {percent(far / wrong)} of the {wrong:,}"
            f" {facts.split} images that are not recognised, the network ranks the label in the"
            " lower half of the classes. Mistakes between similar classes would rank it second or"
            " third."
        ),
        remedy,
        errors=wrong,
        far_errors=far,
        train_accuracy=facts.train,
        gap=facts.gap,
    )


def overfitting(facts: Facts, least: float | None = None) -> Finding | None:
    """Say how large the gap between training and held-out accuracy is, and since when.

    Args:
        facts: of the run.
        least: the gap from which on it is named; by default one worth acting on.
    """
    curves, held, train, split = facts.curves, facts.held, facts.train, facts.split
    if held is None or train is None or not curves.validated or len(curves.loss) < 2:
        return None
    if least is None:
        least = max(OVERFITTING_GAP, GAP_SHARE * (1 - held))
    if facts.gap < least or not facts.gap_is_clear:
        return None
    turned, crossed = curves.turned, curves.crossed
    text = (
        f"The network overfits: it recognises {percent(train)} of the training images but"
        f" {percent(held)} of the {split} images, a gap of {points(facts.gap)}."
    )
    # With a teacher, the training loss is that of its predictions, not comparable with the labels'.
    if crossed is not None and facts.recipe.teacher is None:
        text += f" The training loss is below the {split} loss from epoch {crossed} on."
    rise = float(curves.val_loss[-1] / curves.val_loss.min() - 1)
    if turned is not None:
        text += (
            f" Since epoch {turned} the {split} loss has risen by {percent(rise)} while the"
            " training loss kept falling."
        )
    shape = facts.record.image_shape
    steps = (facts.steps_per_epoch or FEW_UPDATES) * len(curves.loss)
    if facts.recipe.data.share >= 1 and steps < FEW_UPDATES:
        remedy = advice.Advice(
            f"Only more images will help much: there are {facts.images:,}. Dropout and moved images"
            f" slow learning down, and the weights were updated only {counted(steps, 'time')}."
        )
    else:
        remedy = advice.more_regularisation(facts.recipe, min(shape[:2]) if shape else None)
    evidence = {
        "train_accuracy": train,
        f"{split}_accuracy": held,
        "gap": facts.gap,
        "training_loss_below_since_epoch": crossed,
        "validation_loss_turned_epoch": turned,
        "validation_loss_rise": rise if turned is not None else None,
    }
    return advice.advised(
        "overfitting",
        "Overfitting",
        text,
        remedy,
        **{key: value for key, value in evidence.items() if value is not None},
    )


def underfitting(facts: Facts) -> Finding | None:
    """Say that the network does not fit even the images that it was trained on."""
    curves, train, held = facts.curves, facts.train, facts.held
    if train is None or held is None or len(curves.loss) < 3:
        return None
    if not facts.poor or facts.gap > SMALL_GAP:
        return None
    capacity = advice.more_capacity(facts.recipe)
    return advice.advised(
        "underfitting",
        "Underfitting",
        (
            f"The network underfits: {percent(train)} on the training images and"
            f" {percent(held)} on the {facts.split} images. It does not fit even the images that"
            f" it was trained on, so more regularisation will not help."
        ),
        capacity,
        **{"train_accuracy": train, f"{facts.split}_accuracy": held, "gap": facts.gap},
    )


def plateau(facts: Facts) -> Finding | None:
    """Say since when the loss has not fallen any more."""
    curves = facts.curves
    if len(curves.loss) <= SPAN or curves.turned is not None or curves.annealed:
        return None
    idle = idle_epochs(curves.val_loss if curves.validated else curves.loss)
    stalled = idle_epochs(curves.loss) >= SPAN
    if idle < SPAN or not (facts.train is None or facts.poor):
        return None
    since = int(curves.epoch[-1 - idle])
    if stalled:
        text = f"Since epoch {since} the loss has not fallen by more than {percent(PROGRESS)}."
    else:
        text = (
            f"The {facts.split} loss has not fallen by more than {percent(PROGRESS)} since epoch"
            f" {since}, while the training loss has. More epochs will not help."
        )
    return Finding(
        kind="plateau",
        heading="Plateau",
        text=text,
        evidence={"since_epoch": since, "idle_epochs": idle, "training_stalled": stalled},
    )
