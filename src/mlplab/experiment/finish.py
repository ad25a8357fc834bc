"""The end of a training: the network saved and evaluated, the record completed."""

import tomllib

import numpy as np

from mlplab.evaluation.diagnostics import Probe
from mlplab.experiment import interrupt, judge
from mlplab.experiment.session import Session
from mlplab.models import conversion, saving
from mlplab.runs import layout, ledger
from mlplab.runs.record import Status
from mlplab.tensorboard.callback import TensorBoard
from mlplab.tensorboard.hparams import write_results
from mlplab.training.plan import Ending

STATUS: dict[Ending, Status] = {
    "epochs": "finished",
    "callback": "finished",
    "interrupted": "interrupted",
    "diverged": "diverged",
}


def finish(session: Session) -> None:
    """Save and evaluate the network of a run whose training has ended, then complete its record."""
    record, context, folder = session.record, session.context, session.folder
    experiment, model = session.experiment, session.experiment.model
    whole = session.options.keep == "all"
    if whole:
        probe = Probe(experiment.trained, context.inputs, context.labels, context.weights)
        record.diagnostics = probe().to_json()
    predictions: judge.Predictions = {}
    sound = all(np.isfinite(np.asarray(weight)).all() for weight in model.weights)
    status = STATUS[session.fit.ending] if sound else "diverged"
    if sound:
        # Evaluated as it is saved, in float32, whatever the precision of training.
        model = conversion.to_keras(model)
        if session.options.keep != "results":
            saving.save(model, folder / layout.MODEL)
        model = judge.fast(model)
        which = _splits_to_open(session, status)
        settings = experiment.recipe.evaluation
        record.metrics, predictions = judge.judge(folder, model, experiment.splits, which, settings)
        if whole:
            record.learnt = judge.learnt(model, experiment.splits, experiment.selects_on_test)
    record.ledger = ledger.count(session.options.runs_dir, record.data_id)
    if whole:
        judge.draw(
            folder,
            model,
            session.fit.rows,
            record.best_epoch,
            experiment.splits,
            predictions,
            record.class_names,
            record.learnt,
        )
        _tensorboard(session, predictions, status)
    session.end(status, _reason(session, status, sound))


def _reason(session: Session, status: Status, sound: bool) -> str | None:
    """Return why a run did not finish, if that needs saying."""
    if status != "diverged":
        return (
            f"stopped by {interrupt.asked()}"
            if status == "interrupted" and interrupt.asked()
            else None
        )
    last = session.fit.rows[-1]["epoch"]
    reason = f"the loss was no longer finite in epoch {last:.0f}; lower the learning rate"
    if sound:
        reason += f". The weights after epoch {session.record.best_epoch} are kept"
    return reason


def _splits_to_open(session: Session, status: Status) -> list[str]:
    """Return the splits to measure; the test split only for a finished run, and counted."""
    selects_on_test = session.experiment.selects_on_test
    wanted = session.experiment.recipe.evaluation.splits
    which: list[str] = [name for name in wanted if name != "test"]
    opens = "test" in wanted and session.options.open_test
    if opens and status == "finished":
        which.append("test")
        # A run that selects on test has already seen this accuracy, once per epoch.
        if not selects_on_test:
            session.open_test()
    elif selects_on_test and status != "finished":
        # Validation is the test split, and these weights have not been evaluated there.
        which = [name for name in which if name != "validation"]
    return which


def _tensorboard(session: Session, predictions: judge.Predictions, status: Status) -> None:
    if not any(isinstance(callback, TensorBoard) for callback in session.callbacks):
        return
    record = session.record
    write_results(
        session.folder / layout.EVENTS,
        recipe=tomllib.loads(session.recipe_text),
        config_id=record.config_id,
        metrics=record.metrics,
        **judge.mistakes(session.experiment.splits, predictions, record.class_names),
        class_names=record.class_names,
        selected_on=record.selected_on,
        succeeded=status == "finished",
    )
