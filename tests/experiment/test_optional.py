"""What a result does not depend on cannot cost it."""

from pathlib import Path

import pytest
from tests.helpers import train

import mlplab
from mlplab.training.plan import NoProgress


class Notes(NoProgress):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def on_note(self, text: str) -> None:
        self.texts.append(text)


# None of them may keep the result, or the others, from being written.
BROKEN = (
    "mlplab.figures.calibration",
    "mlplab.experiment.finish.Probe",
    "mlplab.experiment.finish.write_results",
    "mlplab.experiment.publish.findings",
    "mlplab.experiment.publish.write_run_page",
    "mlplab.tensorboard.callback.Events",
)


def test_parts_that_fail_are_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*given: object, **named: object) -> None:
        raise RuntimeError("broken on purpose")

    for broken in BROKEN:
        monkeypatch.setattr(broken, fails)
    notes = Notes()
    small = mlplab.recipe(
        "quickstart",
        model={"hidden": [8]},
        training={"epochs": 1},
        callbacks={"tensorboard": {"name": "TensorBoard"}},
    )
    run = train(small, tmp_path, progress=notes, keep="all")
    assert run.record.status == "finished"
    assert "test" in run.metrics
    assert "model.keras" in run.record.files
    assert (run.folder / "figures" / "confusion_matrix-test.png").exists()
    assert sum("broken on purpose" in text for text in notes.texts) == len(BROKEN)


@pytest.mark.parametrize("keep", ["all", "model"])
def test_no_part_of_a_plain_run_fails(keep: str, tmp_path: Path) -> None:
    notes = Notes()
    small = mlplab.recipe("quickstart", model={"hidden": [8]}, training={"epochs": 1})
    record = train(small, tmp_path, progress=notes, keep=keep).record
    assert not [text for text in notes.texts if "could not be written" in text]
    assert [layer["gradient_norm"] for layer in record.diagnostics["layers"]]
