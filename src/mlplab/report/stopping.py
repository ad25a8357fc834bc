"""Where and why training ended, and which epochs were repeated."""

from mlplab.report.facts import Facts
from mlplab.runs.record import Finding


def stopped_early(facts: Facts) -> Finding | None:
    """Say where training stopped, and which epoch's weights were kept."""
    limit = facts.recipe.training.epochs
    ran, best = len(facts.curves.epoch), facts.record.best_epoch
    if facts.record.status != "finished" or not ran or not best or ran >= limit:
        return None
    callbacks = facts.recipe.callbacks.values()
    stoppers = [each for each in callbacks if each.name.lower() == "earlystopping"]
    text = f"Training stopped after epoch {ran} of at most {limit}"
    if not stoppers or any(each.is_custom for each in callbacks):
        text += ", by a callback."
    else:
        monitor = stoppers[0].params.get("monitor", "val_loss")
        text += f", because `{monitor}` had not improved enough for some epochs."
    if 0 < best < ran:
        text += f" The weights of epoch {best} were kept."
    return Finding(
        kind="early-stopping",
        heading="Early stopping",
        text=text,
        evidence={"stopped_epoch": ran, "best_epoch": best, "epoch_limit": limit},
    )


def rewound(facts: Facts) -> Finding | None:
    """Say which epochs were repeated because they diverged."""
    rewinds = facts.record.rewinds
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
