"""Sliders as recipe and as command."""

import shlex
from pathlib import Path
from typing import Any

import pytest

from mlplab import recipes
from mlplab.errors import RecipeError, UserError
from mlplab.ui import forms


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model.hidden": [64, 64], "training.epochs": 3},
        {"optimizer.name": "sgd", "optimizer.learning_rate": 0.1, "optimizer.momentum": 0.9},
        {"optimizer.name": "sgd", "optimizer.learning_rate": 1e-3},  # adam's, which it repeats
        {"callbacks.early_stopping": None, "augment.flip": "random"},
    ],
)
def test_the_command_trains_the_recipe_that_is_shown(changes: dict[str, Any]) -> None:
    words = shlex.split(forms.command("quickstart", changes))
    assert words[:3] == ["mlplab", "train", "quickstart"]
    assert recipes.load(words[2], words[3:-1]) == forms.draft("quickstart", changes, [])
    tables = recipes.to_tables(forms.draft("quickstart", changes, []))
    if "optimizer.name" in changes:
        assert tables["optimizer"]["learning_rate"] == changes["optimizer.learning_rate"]


def test_what_changes_nothing_is_left_out() -> None:
    same = {"training.epochs": 60, "model.hidden": [256, 256]}
    assert forms.command("quickstart", same) == "mlplab train quickstart --layers"


def test_the_command_has_names_and_seeds() -> None:
    one = forms.command("quickstart", {}, "mine")
    assert one == "mlplab train quickstart --name mine-s0 --group mine --layers"
    three = forms.command("quickstart", {}, "mine", [0, 1, 2])
    assert three == "mlplab train quickstart --seeds 0..2 --name mine --group mine --layers"


def test_images_elsewhere_are_refused(tmp_path: Path) -> None:
    data = {"data.name": "folder", "data.path": str(tmp_path / "own" / "pets")}
    assert forms.draft("quickstart", data, [tmp_path / "own"]).data.path == data["data.path"]
    for path in ("/etc", str(tmp_path / "own" / ".." / "other"), "hf://owner/name"):
        with pytest.raises(UserError, match="not in a folder"):
            forms.draft("quickstart", data | {"data.path": path}, [tmp_path / "own"])


def test_wrong_keys_and_code_are_refused() -> None:
    with pytest.raises(RecipeError, match="hiden"):
        forms.draft("quickstart", {"model.hiden": [1]}, [])
    with pytest.raises(RecipeError, match="no recipe"):
        forms.draft("/etc/passwd", {}, [])
    with pytest.raises(UserError, match="--trust"):
        forms.draft("quickstart", {"model.name": "os:system"}, [])


def test_every_recipe_has_a_card() -> None:
    cards = {card["name"]: card for card in forms.cards()}
    assert set(cards) == set(recipes.names())
    assert all(card["text"] for card in cards.values())
    assert cards["mlp-budget"]["test"] == "71.3 ± 0.5 %"


def test_names_are_free(tmp_path: Path) -> None:
    (tmp_path / "a-s0").mkdir()
    assert forms.free_name("a-s0", {"a-s0-2"}, tmp_path) == "a-s0-3"


def test_a_run_of_the_same_size_tells_how_long_it_takes() -> None:
    recipe = recipes.load("quickstart", ["training.epochs=10"])
    facts = {"flops": 1000, "images": 100}
    runs = [
        {"flops_per_example": 1000, "epoch_seconds": 2.0, "images": 90},
        {"flops_per_example": 9000, "epoch_seconds": 2.0, "images": 90},
    ]
    assert forms.estimate(facts, recipe, runs) == pytest.approx(forms.START + 10 * 2.0)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model.hidden": [64, 64], "training.epochs": 3},
        {"optimizer.name": "sgd", "optimizer.learning_rate": 0.1, "optimizer.momentum": 0.9},
        {"callbacks.early_stopping": None, "callbacks.plateau.name": "ReduceLROnPlateau"},
    ],
)
def test_a_run_is_trained_again_with_its_own_changes(changes: dict[str, Any]) -> None:
    own = changes | {"data.name": "digits", "seed": 3}
    found = forms.of_command(forms.command("quickstart", own, "mine"))
    assert found == ("quickstart", changes)
    assert forms.of_command("mlplab train my-own.toml --seed 3") is None
    assert forms.of_command("") is None
