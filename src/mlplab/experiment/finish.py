"""The end of a training: the network saved and evaluated, the record completed."""

import tomllib

import keras
import numpy as np

from mlplab.errors import optional
from mlplab.evaluation.diagnostics import Probe
from mlplab.experiment import data_checks, interrupt, judge
from mlplab.experiment.session import Session
from mlplab.models import conversion, saving
from mlplab.runs import layout, ledger
from mlplab.runs.record import Status
from mlplab.tensorboard.hparams import write_results
from mlplab.tensorboard.of_run import RunTensorBoard
from mlplab.training.plan import Ending

STATUS: dict[Ending, Status] = {
    "epochs": "finished",
    "callback": "finished",
    "interrupted": "interrupted",
    "diverged": "diverged",
}


def finish(session: Session) -> None:
    """Save and evaluate the network of a run whose training has ended, then complete its record."""
    record, folder = session.record, session.folder
    experiment, model = session.experiment, session.experiment.model
    predictions: judge.Predictions = {}
    sound = all(np.isfinite(np.asarray(weight)).all() for weight in model.weights)
    status = STATUS[session.fit.ending] if sound else "diverged"
    if session.options.keep != "results":
        _diagnose(session)  # before it is saved, which takes its optimizer away
    if sound:
        # Evaluated as it is saved, in float32, whatever the precision of training.
        model = conversion.to_keras(model)
        if experiment.recipe.evaluation.calibrate:
            record.temperature = judge.calibrate(model, experiment.splits.validation)
        if session.options.keep != "results":
            saving.save(model, folder / layout.MODEL)
        model = judge.fast(model)
        which = _splits_to_open(session, status)
        settings = experiment.recipe.evaluation
        record.metrics, predictions = judge.judge(
            folder,
            model,
            experiment.splits,
            which,
            settings,
            files=experiment.dataset.files,
        )
        record.label_candidates = data_checks.label_candidates(
            experiment.dataset, experiment.splits, predictions
        )
    record.ledger = ledger.count(session.options.runs_dir, record.data_ids)
    session.conclude(status, _reason(session, status, sound))
    if session.options.keep == "all":
        _explain(session, model if sound else None, predictions)
    session.publish()


def _diagnose(session: Session) -> None:
    """Add the statistics of the layers, which findings rest on."""
    context = session.context
    with optional("the diagnostics of the layers", session.progress.on_note):
        probe = Probe(session.experiment.trained, context.inputs, context.labels, context.weights)
        session.record.diagnostics = probe().to_json()


def _explain(session: Session, model: keras.Model | None, predictions: judge.Predictions) -> None:
    """Add what was learnt, figures and TensorBoard's results; one that fails is a note.

    Args:
        session: whose record is already written.
        model: as it was evaluated; ``None`` if its weights are not finite.
        predictions: by split.
    """
    record, note = session.record, session.progress.on_note
    experiment = session.experiment
    if model is not None:
        with optional("receptive fields and sensitivity", note):
            record.learnt = judge.learnt(model, experiment.splits, experiment.selects_on_test)
    with optional("the figures", note):
        judge.draw(
            session.folder,
            experiment.model if model is None else model,
            session.fit.rows,
            record.best_epoch,
            experiment.splits,
            predictions,
            record.class_names,
            record.learnt,
            note,
        )
    with optional("TensorBoard's results", note):
        _tensorboard(session, predictions, record.status)


def _reason(session: Session, status: Status, sound: bool) -> str | None:
    """Return why a run did not finish, if that needs saying."""
    if status == "interrupted" and interrupt.asked():
        return f"stopped by {interrupt.asked()}"
    if status != "diverged":
        return None
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
    # Validation on the test split is a result on test, and is reported as one.
    named = "test" in wanted or (selects_on_test and "validation" in wanted)
    opens = named if session.options.test is None else session.options.test
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
    if not any(isinstance(callback, RunTensorBoard) for callback in session.callbacks):
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
