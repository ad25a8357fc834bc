"""The ledger of evaluations on the test split."""

from pathlib import Path

from tests.helpers import train

import mlplab
from mlplab.runs import layout, ledger


def test_a_study_file_beside_the_runs_folder_does_not_move_the_ledger(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / layout.STUDY).write_text("title = 'not in a runs folder'\n")
    runs_dir = tmp_path / "lab" / "runs"
    short = mlplab.recipe("quickstart", training={"epochs": 1}, model={"hidden": [8]})
    run = train(short, runs_dir, "one")
    assert (runs_dir / layout.LEDGER).is_file()
    assert run.record.ledger == {"openings": 1, "configurations": 1}
    assert not (tmp_path / layout.LEDGER).exists()


def test_runs_of_a_study_use_the_ledger_of_its_runs_folder(tmp_path: Path) -> None:
    study = tmp_path / "mine"
    study.mkdir()
    (study / layout.STUDY).touch()
    assert ledger.ledger_dir(study / layout.TRIALS) == tmp_path
    assert ledger.ledger_dir(study / layout.FINALS) == tmp_path
