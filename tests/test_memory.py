import io
from pathlib import Path

import pytest
from PIL import Image

import mlplab
from mlplab import memory
from mlplab.errors import DataError, RecipeError
from mlplab.experiment import budget
from mlplab.experiment.complete import complete


def test_what_does_not_fit_is_refused_with_numbers() -> None:
    memory.check({"a": 10}, "Less.", 10, RecipeError)
    memory.check({"a": 10}, "Less.", None, RecipeError)
    with pytest.raises(RecipeError, match=r"about 3 GB of memory \(2 GB for b, 1 GB for a\)"):
        memory.check({"a": 10**9, "b": 2 * 10**9}, "Less.", 10**9, RecipeError)


def test_a_machine_knows_its_memory() -> None:
    found = memory.available()
    assert found is None or 10**8 < found < 10**14


def test_a_network_that_does_not_fit_is_refused_before_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = "mlplab.experiment.prepare._network"
    monkeypatch.setattr(made, lambda *given: pytest.fail("it was made"))
    recipe = mlplab.recipe("quickstart", model={"hidden": [30000, 45000]})
    with pytest.raises(
        RecipeError, match=r"1,35\d,\d{3},\d{3} parameters .* are free\.\nUse fewer"
    ):
        mlplab.train(recipe, runs_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_activations_of_a_large_batch_are_counted() -> None:
    from mlplab import data

    recipe = complete(mlplab.recipe("quickstart"))
    dataset = data.load(recipe.data)
    small = budget.needed(recipe, dataset)
    training = recipe.training.model_copy(update={"batch_size": 1000})
    large = budget.needed(recipe.model_copy(update={"training": training}), dataset)
    assert large["activations"] - small["activations"] == 4 * 3 * 936 * (64 + 512 + 10)


def test_images_that_do_not_fit_are_refused_before_they_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlplab.memory.available", lambda: 10**9)
    monkeypatch.setattr("mlplab.data.folder.read_images", lambda *given: pytest.fail("decoded"))
    picture = io.BytesIO()
    Image.new("RGB", (2, 2)).save(picture, "PNG")
    for number in range(400):  # 3 MB each when it is decoded
        folder = tmp_path / "images" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.png").write_bytes(picture.getvalue())
    settings = {"name": "folder", "path": str(tmp_path / "images"), "image_size": 1024}
    with pytest.raises(DataError, match=r"GB for the decoded images\).*\nChoose a smaller"):
        mlplab.train(mlplab.recipe("quickstart", data=settings), runs_dir=tmp_path / "runs")
