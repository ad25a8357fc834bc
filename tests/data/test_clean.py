"""Files of a folder to leave out, found and left out."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from mlplab import data, recipes
from mlplab.cli.app import app
from mlplab.data import clean
from mlplab.data.similar import SIDE, near
from mlplab.errors import DataError, RecipeError
from mlplab.recipes.recipe import Data

RANDOM = np.random.default_rng(0)


def photograph() -> Image.Image:
    """Return a picture with coarse and fine structure, as photographs have."""
    coarse = Image.fromarray(RANDOM.integers(0, 256, (6, 8, 3), np.uint8)).resize((320, 240))
    fine = RANDOM.normal(0, 8, (240, 320, 3))
    return Image.fromarray(np.clip(np.asarray(coarse) + fine, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 12 pictures, with copies, other forms of pictures, and a damaged file."""
    root = tmp_path_factory.mktemp("photos")
    for name in ("cats", "dogs"):
        (root / name).mkdir()
        for number in range(12):
            photograph().save(root / name / f"{number:02}.png")
    first = Image.open(root / "cats/00.png")
    (root / "dogs/copy.png").write_bytes((root / "cats/00.png").read_bytes())
    first.resize((97, 80)).save(root / "cats/small.jpg", quality=60)
    Image.open(root / "dogs/03.png").save(root / "dogs/worse.jpg", quality=20)
    (root / "dogs/damaged.png").write_text("damaged")
    return root


def listed(folder: Path, to: Path) -> dict[str, tuple[str, str]]:
    done = CliRunner().invoke(app, ["data", "clean", str(folder), "--out", str(to), "--json"])
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(to.open()))
    assert json.loads(done.stdout) == {"list": str(to), "files": rows}
    return {row["file"]: (row["reason"], row["detail"]) for row in rows}


def load(folder: Path, exclude: Path, said: list[str] | None = None) -> data.Dataset:
    settings = Data(name="folder", path=str(folder), image_size=8, exclude=str(exclude))
    return data.load(settings, None, (said or []).append)


def names(dataset: data.Dataset) -> set[str]:
    return {name for files in dataset.files.values() for name in files}


def test_copies_other_forms_and_damaged_files_are_listed_and_left_out(
    folder: Path, tmp_path: Path
) -> None:
    found = listed(folder, tmp_path / "clean.csv")
    assert {reason for reason, _ in found.values()} == set(clean.REASONS) - {"label"}
    assert found["dogs/damaged.png"][0] == "unreadable"
    (copied,) = {"cats/00.png", "dogs/copy.png"} & found.keys()
    assert found[copied][0] == "duplicate"
    assert "another class" in found[copied][1]
    assert len({"dogs/03.png", "dogs/worse.jpg"} & found.keys()) == 1
    assert len({"cats/00.png", "dogs/copy.png", "cats/small.jpg"} & found.keys()) == 2
    assert len(found) == 4
    everything = {path.relative_to(folder).as_posix() for path in folder.glob("*/*")}
    assert names(load(folder, tmp_path / "clean.csv")) == everything - found.keys()
    assert names(load(folder, tmp_path / "clean.csv")) == everything - found.keys()  # cached


def test_names_that_are_not_there_are_told(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("file\ncats/01.png\ncats/nothing.png\n")
    said: list[str] = []
    settings = Data(
        name="folder", path=str(folder), image_size=8, exclude=str(tmp_path / "list.csv")
    )
    dataset = data.load(settings, None, said.append)
    assert "cats/01.png" not in names(dataset)
    assert any("1 image; 1 other name not found" in text for text in said)


def test_an_empty_list_leaves_nothing_out(folder: Path, tmp_path: Path) -> None:
    clean.write([], tmp_path / "none.csv")
    assert len(names(load(folder, tmp_path / "none.csv"))) == 27


def test_lists_that_cannot_be_used_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("name\ncats/01.png\n")
    with pytest.raises(DataError, match="no column 'file'"):
        load(folder, tmp_path / "other.csv")
    rows = "".join(f"cats/{path.name}\n" for path in (folder / "cats").iterdir())
    (tmp_path / "all.csv").write_text(f"file\n{rows}")
    with pytest.raises(DataError, match="leaves no image of class 'cats'"):
        load(folder, tmp_path / "all.csv")
    with pytest.raises(RecipeError, match=r"data\.exclude is for your own images"):
        recipes.load("quickstart", ["data.exclude=clean.csv"])


def test_doubtful_labels_of_folds_are_listed(folder: Path, tmp_path: Path) -> None:
    row = "cats/05.png,label,cats,dogs,0.01,0.98"
    header = "file,reason,label,predicted,label_probability,predicted_probability"
    (tmp_path / "labels.csv").write_text(f"{header}\n{row}\n")
    words = ["data", "clean", str(folder), "--folds", str(tmp_path), "--out"]
    done = CliRunner().invoke(app, [*words, str(tmp_path / "clean.csv")])
    assert done.exit_code == 0, done.output
    assert "label                1, such as cats/05.png" in done.stdout
    assert 'cats/05.png,label,"cats, predicted as dogs' in (tmp_path / "clean.csv").read_text()
    done = CliRunner().invoke(app, [*words[:-1], "--folds", str(folder)])
    assert done.exit_code == 2
    assert "--folds 5` writes it" in done.stderr


def test_pictures_of_one_colour_are_not_the_same() -> None:
    assert near(np.stack([np.full((SIDE, SIDE), value, np.uint8) for value in (0, 90)])) == []


def test_every_picture_that_was_made_smaller_or_worse_is_found() -> None:
    """And no two different ones of a thousand are taken for the same."""
    pictures = [photograph().convert("L") for _ in range(300)]
    small = [picture.resize((50, 40)) for picture in pictures[:100]]
    every = [np.asarray(picture.resize((SIDE, SIDE))) for picture in [*pictures, *small]]
    found = near(np.stack(every))
    assert found == [(number, 300 + number) for number in range(100)]
