"""Runs on the user's own images: where the images are, and which data set they are."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.helpers import train
from typer.testing import CliRunner

import mlplab
from mlplab import files
from mlplab.cli.app import app
from mlplab.errors import DataError
from mlplab.experiment import inference
from mlplab.recipes.recipe import Recipe
from mlplab.report.comparison import compare
from mlplab.report.configurations import find_sides
from mlplab.runs import layout, ledger, store
from mlplab.runs.run import Run


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(10):
            pixels = rng.integers(0, 256, (12, 12, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{number}.png")
    return tmp_path / "pets"


def recipe(path: Path | str, image_size: int = 8, **tables: Any) -> Recipe:
    return mlplab.recipe(
        "quickstart",
        data={"name": "folder", "path": str(path), "image_size": image_size},
        training={"epochs": 1},
        model={"hidden": [4]},
        callbacks={"tensorboard": "none", "early_stopping": "none"},
        evaluation={"splits": ["validation", "test"]},
        **tables,
    )


def test_a_folder_is_one_configuration_however_its_path_is_written(
    pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    runs = [train(recipe(path), tmp_path / "runs") for path in ("pets", f"{pets}/", "~/pets")]
    assert len({run.record.config_id for run in runs}) == 1
    assert {run.recipe.data.path for run in runs} == {str(pets.resolve())}


def test_images_that_were_moved_are_found_where_the_user_says(pets: Path, tmp_path: Path) -> None:
    run = train(recipe(pets), tmp_path / "runs", "first")
    moved = pets.rename(tmp_path / "moved")
    with pytest.raises(DataError, match="there is no such folder or file here"):
        inference.evaluate(run, "validation")
    before = run.metrics["validation"]
    assert inference.evaluate(run, "validation", data_path=moved) == before
    again = train(recipe(moved), tmp_path / "runs", "again")
    assert again.record.config_id == run.record.config_id
    shutil.rmtree(moved / "cats")
    shutil.copytree(moved / "dogs", moved / "cats")
    with pytest.raises(DataError, match="is not the one that first was trained on"):
        inference.evaluate(run, "validation", data_path=moved)


def test_an_interrupted_run_continues_on_images_that_were_moved(pets: Path, tmp_path: Path) -> None:
    run = train(recipe(pets), tmp_path / "runs", "first")
    record = run.record.model_copy(update={"status": "interrupted"})
    store.write_record(run.folder, record)
    moved = pets.rename(tmp_path / "moved")
    done = mlplab.resume("first", runs_dir=tmp_path / "runs", data_path=moved)
    assert done.record.status == "finished"
    assert done.record.config_id == record.config_id


def test_one_folder_at_two_image_sizes_is_one_data_set(pets: Path, tmp_path: Path) -> None:
    runs_dir = tmp_path / "runs"
    small = train(recipe(pets, 8), runs_dir, "small").record
    large = train(recipe(pets, 12), runs_dir, "large").record
    assert small.data_id != large.data_id
    assert small.source_id == large.source_id
    assert large.ledger == {"openings": 2, "configurations": 2}
    found = compare(find_sides(runs_dir, ["small", "large"]))
    assert found.pairings[0].mcnemar is not None  # their test images are paired


def test_a_record_without_the_identity_of_the_files_is_compared_as_before(
    pets: Path, tmp_path: Path
) -> None:
    runs_dir = tmp_path / "runs"
    old = train(recipe(pets, 8), runs_dir, "old")
    store.write_record(old.folder, old.record.model_copy(update={"source_id": ""}))
    rows = files.read_lines(runs_dir / layout.LEDGER)
    del rows[0]["source_id"]
    files.write_lines(runs_dir / layout.LEDGER, rows)
    train(recipe(pets, 8, optimizer={"name": "sgd"}), runs_dir, "new")
    large = train(recipe(pets, 12), runs_dir, "large").record
    assert ledger.count(runs_dir, large.data_ids) == {"openings": 3, "configurations": 3}
    assert len(find_sides(runs_dir, ["old", "new", "large"])) == 3


def test_tables_pages_and_predictions_name_the_folder_and_its_files(
    pets: Path, tmp_path: Path
) -> None:
    run = mlplab.train(recipe(pets), runs_dir=tmp_path / "runs", name="first")
    listed = CliRunner().invoke(app, ["runs", "--runs-dir", str(tmp_path / "runs")])
    assert "test set of pets/ evaluated" in listed.stdout
    assert "on pets/, 8×8, 2 classes" in (run.folder / layout.REPORT).read_text()
    named = run.predictions("test")
    assert set(named["files"].tolist()) < {
        os.path.relpath(path, pets) for path in pets.glob("*/*.png")
    }
    true_class = [name.split("/")[0] for name in named["files"].tolist()]
    assert true_class == [run.record.class_names[label] for label in named["labels"].tolist()]


def test_a_renamed_run_has_the_name_of_its_folder(pets: Path, tmp_path: Path) -> None:
    run = train(recipe(pets), tmp_path / "runs", "first")
    renamed = Run(run.folder.rename(tmp_path / "runs" / "second"))
    options = ["--runs-dir", str(tmp_path / "runs")]
    assert renamed.record.name == "second"
    assert "second" in CliRunner().invoke(app, ["runs", *options]).stdout
    assert CliRunner().invoke(app, ["runs", "show", "second", *options]).exit_code == 0
    assert find_sides(tmp_path / "runs", ["second"])[0].name == "second"
    checked = CliRunner().invoke(app, ["runs", "check", "second", *options])
    assert checked.exit_code == 0, checked.stdout
