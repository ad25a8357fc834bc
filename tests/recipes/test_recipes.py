import json
import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mlplab
from mlplab import recipes
from mlplab.errors import RecipeError
from mlplab.recipes.recipe import Augment, Loss

RESULTS = Path(__file__).parents[2] / "docs" / "results"


@pytest.mark.parametrize("name", recipes.names())
def test_a_shipped_recipe_says_how_to_run_it(name: str) -> None:
    first, *others = [line for line in recipes.text(name).splitlines() if line.startswith("# ")]
    assert others
    # With a figure on the test set goes the command that evaluates there; `published` does anyway.
    tested = name != "published" and re.search(r"\btest \d", " ".join(others))
    assert first == f"# mlplab train {name}" + " --test" * bool(tested)


@pytest.mark.parametrize("name", recipes.names())
def test_a_complete_recipe_reads_back_equal(name: str) -> None:
    recipe = recipes.load(name)
    assert recipes.validate(tomllib.loads(recipes.to_toml(recipe))) == recipe


def test_seed_validates_on_test_and_seed_honest_does_not() -> None:
    assert recipes.load("published").data.validation == "test"
    assert recipes.load("published-honest").data.validation == 0.1


def test_naming_another_optimizer_drops_the_keys_of_the_one_before() -> None:
    recipe = recipes.load("published", ["optimizer.momentum=0.9", "optimizer.name=sgd"])
    assert recipe.optimizer.name == "sgd"
    assert recipe.optimizer.params == {"momentum": 0.9}


@pytest.mark.parametrize(
    ("text", "value"),
    [(".001", 0.001), ("1.", 1.0), ("-.5e-3", -0.0005), ("True", True), ("False", False)],
)
def test_numbers_and_booleans_may_be_written_as_in_python(text: str, value: float) -> None:
    assert recipes.parse_override(f"a.b={text}") == (["a", "b"], value)
    assert recipes.parse_override(f"a.b=[{text}, cat]") == (["a", "b"], [value, "cat"])


def test_all_callbacks_and_augmentation_can_be_removed_at_once() -> None:
    assert recipes.load("quickstart").callbacks
    assert recipes.load("quickstart", ["callbacks=none"]).callbacks == {}
    only = recipes.load("quickstart", ["callbacks=none", "callbacks.log.name=CSVLogger"])
    assert list(only.callbacks) == ["log"]
    assert recipes.load("mlp-budget", ["augment=none"]).augment == Augment()


def test_a_callback_is_added_changed_and_removed() -> None:
    assert (
        "early_stopping"
        not in recipes.load("published", ["callbacks.early_stopping=none"]).callbacks
    )
    changed = recipes.load("published", ["callbacks.early_stopping.patience=5"])
    assert changed.callbacks["early_stopping"].params["patience"] == 5
    added = recipes.load("published", ["callbacks.log.name=CSVLogger"])
    assert list(added.callbacks) == ["early_stopping", "tensorboard", "log"]


def test_none_means_absent() -> None:
    recipe = recipes.load("published", ["optimizer.clipnorm=none", "schedule.name=CosineDecay"])
    assert recipe.optimizer.params["clipnorm"] is None
    assert recipes.load("published", ["schedule=none"]).schedule is None
    averaged = ["average.momentum=0.9"]
    assert recipes.load("published", averaged).average is not None
    assert recipes.load("published", [*averaged, "average=none"]).average is None
    assert recipes.load("published", {"optimizer": {"clipnorm": None}}).optimizer.params == {
        "learning_rate": 1e-4,
        "clipnorm": None,
    }


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("optimizr.name=sgd", "did you mean 'optimizer'"),
        ("model.hiden=[3]", "did you mean 'hidden'"),
        ("model.name=mpl", "did you mean 'mlp'"),
        ("model.dropout=2", "model.dropout = 2"),
        ("model.hidden=[64, -1]", "model.hidden.1 = -1"),
        ("training.epochs=ten", "valid integer"),
        ("training.epochs=nan", "valid integer"),
        ("training.batch_size=1e400", "valid integer"),
        ("data.scaling=foo", "'symmetric', 'unit' or 'standard'"),
        ("data.name=folder", "data.path is needed"),
        ("callbacks.early.patience=3", "'callbacks.early.name' is missing"),
        ("seed=-1", "seed = -1"),
        ("seed.x=3", "'seed' is a value, not a table"),
        ("training.epochs", "'training.epochs' has no value; write training.epochs=VALUE"),
        ("epochs=6", "did you mean 'training.epochs'"),
        ("lr=0.1", "did you mean 'optimizer.learning_rate'"),
        ("training.lr=0.1", "did you mean 'optimizer.learning_rate'"),
        ("patience=3", "did you mean 'callbacks.early_stopping.patience'"),
        ("early_stopping=none", "did you mean 'callbacks.early_stopping'"),
        ("model.layers=3", "did you mean 'model.hidden'"),
        ("model.hidden=512", "model.hidden is a list: 'model.hidden=[512]'"),
        ("model.hidden=(512,256)", "'model.hidden=[512,256]'"),
        ("training.epochs=3.", "it is a whole number; write training.epochs=3"),
        ("augment=strong", "'augment' is a table, with the keys flip, shift"),
        ("callbacks.early_stoping.patience=3", "did you mean 'early_stopping'"),
        ("=3", "write table.key=value"),
        ("optimizer=none", "optimizer"),
        ("average.momentm=0.9", "did you mean 'momentum'"),
        ("average.momentum=1.0", "average.momentum = 1.0"),
        ("average=ema", "average.name=ema"),
        ("model=mlp", "write model.name=mlp"),
        ("model=none", "write model.name=none"),
        ("model=3", "model = 3 is wrong: it is a table of keys"),
        ("model=[1]", "model = [1] is wrong: it is a table of keys"),
    ],
)
def test_what_is_wrong_is_named(override: str, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipes.load("published", [override])
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2


def test_an_unknown_recipe_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(RecipeError, match="did you mean 'quickstart'"):
        recipes.load("quickstat")


@pytest.mark.parametrize(
    "content",
    [
        b"a = [",
        b"\xff\xfe\xff",
        b"seed = 1\nseed = 2",
        pytest.param(b"a = " + 9000 * b"[", id="brackets in brackets"),
        pytest.param(b"seed = 1" + 5000 * b"0", id="5,000 digits"),
        pytest.param(b"#" + 1_000_001 * b" ", id="a megabyte"),
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=r"mine\.toml"):
        recipes.load(str(path))


def test_a_recipe_that_never_ends_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(RecipeError, match="not a regular file"):
        recipes.load(str(tmp_path / "pipe.toml"))


def test_the_identity_of_a_configuration_leaves_out_the_seed() -> None:
    recipe = recipes.load("published")
    assert recipes.config_id(recipes.with_seed(recipe, 7)) == recipes.config_id(recipe)
    other = recipes.load("published", ["model.dropout=0.3"])
    assert recipes.config_id(other) != recipes.config_id(recipe)


def test_the_splits_that_are_evaluated_are_no_part_of_a_configuration() -> None:
    closed = recipes.load("quickstart")
    opened = recipes.load("quickstart", ['evaluation.splits=["test"]'])
    assert recipes.config_id(closed) == recipes.config_id(opened)


@pytest.mark.parametrize("run", ["mlps/cnn-mid-s0", "transfer/nothing-100-0.08-s0"])
def test_records_from_when_splits_were_part_of_it_belong_to_their_recipe(run: str) -> None:
    folder = RESULTS / run
    known = json.loads((folder / "record.json").read_text())["config_id"]
    recipe = recipes.load(str(folder / "recipe.toml"))
    assert recipes.has_config_id(known, recipe)
    other = recipe.model_copy(update={"loss": Loss(label_smoothing=0.3)})
    assert not recipes.has_config_id(known, other)
    every = set(recipe.evaluation.splits) == {"train", "validation", "test"}  # once the default
    assert (known == recipes.config_id(recipe)) == every


VALUES = st.one_of(st.integers(), st.floats(allow_nan=False), st.booleans(), st.text())


@given(value=VALUES)
def test_any_value_is_set_or_refused_in_plain_words(value: Any) -> None:
    try:
        recipe = recipes.load("published", {"model": {"dropout": value}})
    except RecipeError as error:
        assert "dropout" in str(error)
    else:
        assert 0 <= recipe.model.model_dump()["dropout"] < 1


@given(text=st.text())
def test_any_override_is_parsed_or_refused(text: str) -> None:
    try:
        recipes.load("published", [text])
    except RecipeError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[cat, dog]", ["cat", "dog"]),
        ("[T-shirt/top, Ankle boot]", ["T-shirt/top", "Ankle boot"]),
        ("[]", []),
        ("[cat, [dog]]", "[cat, [dog]]"),
    ],
)
def test_words_within_brackets_need_no_quotes(text: str, value: object) -> None:
    assert recipes.parse_override(f"data.classes={text}") == (["data", "classes"], value)


@pytest.mark.parametrize(
    ("old", "name"), [("seed", "published"), ("seed-honest", "published-honest")]
)
def test_a_renamed_recipe_is_found_by_its_old_name_with_a_note(old: str, name: str) -> None:
    note = f"the recipe {old} is now called {name}; the old name still works"
    assert recipes.renamed(old) == note
    assert recipes.renamed(name) is None
    assert recipes.load(old) == recipes.load(name)
    assert recipes.title(old) == name
    with pytest.warns(FutureWarning, match=note):
        assert mlplab.recipe(old) == mlplab.recipe(name)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_recipe_may_be_saved_as_editors_on_windows_do(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(recipes.text("quickstart").replace("\n", "\r\n").encode(encoding))
    assert recipes.load(str(path)) == recipes.load("quickstart")


def test_text_in_another_encoding_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes("# größer".encode("latin-1"))
    with pytest.raises(RecipeError, match="save it as UTF-8"):
        recipes.load(str(path))
