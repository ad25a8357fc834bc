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


@pytest.mark.parametrize(
    "broken",
    [
        "mlplab.figures.calibration",
        "mlplab.figures.sample_grid",
        "mlplab.experiment.publish.write_run_page",
        "mlplab.experiment.publish.findings",
        "mlplab.experiment.finish.write_results",
        "mlplab.tensorboard.callback.Events",
    ],
)
def test_a_part_that_fails_is_a_note(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*given: object, **named: object) -> None:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(broken, fails)
    notes = Notes()
    small = mlplab.recipe("quickstart", model={"hidden": [8]}, training={"epochs": 1})
    run = train(small, tmp_path, progress=notes)
    assert run.record.status == "finished"
    assert "test" in run.metrics
    assert any("broken on purpose" in text for text in notes.texts)
