"""Runs on the user's own images as arrays and lists, and on grey ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.experiment.resumable import Stop
from tests.helpers import train
from typer.testing import CliRunner

import mlplab
from mlplab import recipes
from mlplab.cli.app import app
from mlplab.experiment import inference
from mlplab.experiment.complete import complete
from mlplab.experiment.options import Options
from mlplab.experiment.resume import is_run_of, unfinished
from mlplab.recipes.recipe import Recipe
from mlplab.runs import checkpoint, layout, store
from mlplab.runs.run import Run

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8)
LABELS = np.arange(40) % 2


def recipe(path: Path | str, **data: Any) -> Recipe:
    return mlplab.recipe(
        "quickstart",
        data={"name": "folder", "path": str(path), "image_size": 8, **data},
        training={"epochs": 3},
        model={"hidden": [4]},
        callbacks={"tensorboard": "none", "early_stopping": "none"},
    )


def folder(root: Path, pixels: np.ndarray = PIXELS) -> Path:
    for number, (image, label) in enumerate(zip(pixels, LABELS, strict=True)):
        path = root / "ab"[label] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return root


def invoked(*command: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in command])
    assert done.exit_code == 0, done.output
    return done.output


def test_arrays_are_trained_on_shown_and_described_like_a_folder(tmp_path: Path) -> None:
    np.savez(tmp_path / "digits.npz", x=PIXELS, y=LABELS)
    run = train(recipe(tmp_path / "digits.npz"), tmp_path / "runs", "first")
    before = run.metrics["validation"]
    assert run.record.data_title == "digits.npz"
    moved = (tmp_path / "digits.npz").rename(tmp_path / "moved.npz")
    assert inference.evaluate(run, "validation", data_path=moved) == before
    place = ("folder", "--path", moved)
    assert "8×8×3" in invoked("data", "info", *place)
    picture = tmp_path / "samples.png"
    assert str(picture) in invoked("data", "show", *place, "--out", picture)
    assert picture.is_file()


def test_a_list_with_groups_is_trained_on_and_evaluated_again(tmp_path: Path) -> None:
    root = folder(tmp_path / "photos")
    rows = [
        f"{path.relative_to(root).as_posix()};{path.parent.name};p{number % 10}"
        for number, path in enumerate(sorted(root.rglob("*.png")))
    ]
    (root / "list.csv").write_text("\n".join(["file;label;patient", *rows]), "utf-16")
    run = train(recipe(root / "list.csv", validation=0.25), tmp_path / "runs", "first")
    assert run.record.data_title == "list.csv"
    patient = dict(row.split(";")[::2] for row in rows)
    sides = [
        {patient[name] for name in run.predictions(split)["files"].tolist()}
        for split in ("train", "validation", "test")
    ]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 10
    assert inference.evaluate(run, "validation") == run.metrics["validation"]


@pytest.fixture
def grey(tmp_path: Path) -> Path:
    return folder(tmp_path / "grey", PIXELS[..., 0])


def test_a_network_for_grey_images_takes_pictures_in_colour(grey: Path, tmp_path: Path) -> None:
    run = train(recipe(grey), tmp_path / "runs", "first")
    assert run.record.image_shape == [8, 8, 1]
    assert run.recipe.data.channels == 1
    Image.fromarray(PIXELS[0]).save(tmp_path / "colour.png")
    Image.fromarray(PIXELS[0]).convert("L").save(tmp_path / "grey.png")
    first, second = inference.predict(run, [tmp_path / "colour.png", tmp_path / "grey.png"])
    assert first.probabilities == second.probabilities
    again = train(recipes.load(str(run.folder / layout.RECIPE)), tmp_path / "runs", "again")
    assert again.record.config_id == run.record.config_id


def test_a_run_on_a_data_set_of_the_hub_has_its_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    root = tmp_path / "datasets--owner--name"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text("a" * 40)
    (root / "snapshots" / ("a" * 40)).mkdir(parents=True)
    encoded = [path.read_bytes() for path in sorted(folder(tmp_path / "a").rglob("*.png"))]
    table = pa.table({"image": encoded, "label": LABELS})
    pq.write_table(table, root / "snapshots" / ("a" * 40) / "train-0.parquet")
    wanted = recipe("hf://owner/name")
    run = train(wanted, tmp_path / "runs", "first")
    assert run.recipe.data.path == f"hf://owner/name@{'a' * 40}"
    assert run.record.data_title == "hf://owner/name"
    assert inference.evaluate(run, "validation") == run.metrics["validation"]
    assert is_run_of(complete(wanted), run, run.record)


def earlier(run: Run) -> None:
    """Make a run what it would have been before ``data.channels`` existed."""
    path = run.folder / layout.RECIPE
    path.write_text(path.read_text().replace("channels = 3\n", ""))
    record = run.record
    record.files = {}
    store.write_record(run.folder, record)


def test_a_run_from_when_grey_images_had_three_channels_is_evaluated(
    grey: Path, tmp_path: Path
) -> None:
    run = train(recipe(grey, channels=3), tmp_path / "runs", "first")
    earlier(run)
    assert run.recipe.data.channels == "auto"
    before, said = run.metrics["validation"], list[str]()
    assert inference.evaluate(run, "validation", warn=said.append) == before
    assert not any("decoded differently" in text for text in said)
    new = train(recipe(grey), tmp_path / "runs", "new").record
    assert new.config_id != run.record.config_id
    assert new.source_id == run.record.source_id


def test_a_run_from_when_grey_images_had_three_channels_is_resumed(
    grey: Path, tmp_path: Path, same: Callable[[Run, Run], None]
) -> None:
    wanted = recipe(grey, channels=3)
    whole = train(wanted, tmp_path / "whole", "first")
    with pytest.raises(RuntimeError):
        train(wanted, tmp_path / "runs", "first", Stop(2, 0.0), checkpoint_seconds=0)
    run = Run(tmp_path / "runs" / "first")
    earlier(run)
    saved = checkpoint.read(run.folder / layout.CHECKPOINT)
    del saved.run.recipe["data"]["channels"]
    checkpoint.write(run.folder / layout.CHECKPOINT, saved)
    found = unfinished(recipe(grey), Options(runs_dir=tmp_path / "runs"))
    assert found is not None
    assert found.name == "first"
    mlplab.resume("first", runs_dir=tmp_path / "runs", progress=None)
    same(run, whole)
    assert run.record.image_shape == [8, 8, 3]
