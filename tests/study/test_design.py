"""What a study says, and where it tries."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplab.errors import RecipeError
from mlplab.study import design
from mlplab.study.sampling import points
from mlplab.study.search_space import Choices, Range

RATE = {"low": 1e-4, "high": 1e-1, "log": True}


def study(**tables: Any) -> design.Study:
    return design.check({"base": "quickstart", **tables})


@pytest.mark.parametrize("name", design.names())
@pytest.mark.parametrize("quick", [False, True])
def test_what_ships_makes_recipes_at_the_ends_of_its_spaces(name: str, quick: bool) -> None:
    found = design.load(name, quick)
    assert found.title.endswith("?")
    for variant in found.names:
        for point in points(found, variant)[:4]:
            recipe = found.recipe_of(variant, point, 3)
            assert recipe.seed == 3
            assert recipe.data.validation != "test"
    if quick and any(found.spaces(variant) for variant in found.names):
        assert found.design.trials == 4


def test_the_optimizers_are_the_eleven_of_the_protocol() -> None:
    found = design.load("optimizers")
    recipes = {
        variant: found.recipe_of(variant, points(found, variant)[0], 0) for variant in found.names
    }
    assert len({repr((r.optimizer.name, r.optimizer.params.get("nesterov")))
                for r in recipes.values()}) == 11  # fmt: skip
    assert found.design.trials == 20
    schedules = {variant for variant, recipe in recipes.items() if recipe.schedule is None}
    assert schedules == {"schedule-free-adamw"}
    for variant in found.names:
        space = found.spaces(variant)["optimizer.learning_rate"]
        assert isinstance(space, Range)
        assert space.log
        assert space.high / space.low == pytest.approx(1e4)


def test_a_study_reads_back_as_it_was_written() -> None:
    for name in design.names():
        found = design.load(name)
        assert design.read(found.to_toml(), name) == found


def test_what_a_variant_says_goes_before_what_all_vary() -> None:
    found = study(
        vary={"optimizer": {"learning_rate": RATE}},
        variants={
            "a": {},
            "b": {"optimizer": {"learning_rate": 0.5}},
            "c": {"optimizer": {"learning_rate": {"choices": [1.0, 2.0]}}},
        },
    )
    assert set(found.spaces("a")) == {"optimizer.learning_rate"}
    assert found.spaces("b") == {}
    assert found.recipe_of("b", {}, 0).optimizer.params["learning_rate"] == 0.5
    assert found.spaces("c")["optimizer.learning_rate"] == Choices(choices=[1.0, 2.0])


def test_a_grid_has_every_cell_once() -> None:
    found = study(
        design={"kind": "grid"},
        vary={
            "model": {"hidden": {"choices": [[8], [8, 8]]}},
            "training": {"batch_size": {"choices": [32, 64, 128]}},
        },
    )
    cells = points(found, "all")
    assert len(cells) == 6
    assert {(len(c["model.hidden"]), c["training.batch_size"]) for c in cells} == {
        (layers, size) for layers in (1, 2) for size in (32, 64, 128)
    }


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(["random", "quasirandom"]),
    seed=st.integers(0, 2**20),
    log=st.booleans(),
    ends=st.tuples(st.integers(1, 50), st.integers(51, 5000)),
    whole=st.booleans(),
)
def test_points_lie_within_their_spaces_and_are_always_the_same(
    kind: str, seed: int, log: bool, ends: tuple[int, int], whole: bool
) -> None:
    low, high = ends if whole else (ends[0] / 7, ends[1] / 7)
    space = {"low": low, "high": high, "log": log}
    key = "batch_size" if whole else "x"
    vary = {"training": {"batch_size": space}} if whole else {"optimizer": {"clipnorm": space}}
    found = study(vary=vary, design={"kind": kind, "seed": seed, "trials": 9})
    first = points(found, "all")
    assert first == points(found, "all")
    (name,) = first[0]
    assert key == "x" or name.endswith(key)
    for point in first:
        assert low * 0.999 <= point[name] <= high * 1.001
        assert isinstance(point[name], int if whole else float)


def test_quasirandom_points_leave_no_hole() -> None:
    found = study(vary={"optimizer": {"learning_rate": RATE}}, design={"trials": 16})
    rates = np.log10([point["optimizer.learning_rate"] for point in points(found, "all")])
    counts, _ = np.histogram(rates, bins=4, range=(-4, -1))
    assert counts.min() >= 2


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"base": "quickstart", "variant": {}}, "'variant' is not a key of a study.*variants"),
        ({"base": "quickstart", "design": {"trails": 3}}, "trails.*trials"),
        ({"base": "quickstrat"}, "quickstart"),
        ({"base": "quickstart", "design": {"trials": 0}}, "design.trials"),
        ({"base": "quickstart", "variants": {"a/b": {}}}, "cannot name a variant"),
        ({"base": "quickstart", "variants": {"../a": {}}}, "cannot name a variant"),
        ({"base": "quickstart", "vary": {"model": {"hiden": {"choices": [[1]]}}}}, "hiden"),
        ({"base": "quickstart", "vary": {"model": {"dropout": {"low": 0.5, "high": 0.1}}}}, "low"),
        (
            {"base": "quickstart", "vary": {"loss": {"l": {"low": 0, "high": 1, "log": True}}}},
            "above 0",
        ),
        (
            {
                "base": "quickstart",
                "design": {"kind": "grid"},
                "vary": {"model": {"dropout": {"low": 0.0, "high": 0.1}}},
            },
            "a grid takes only choices",
        ),
        ({"base": 3}, "base = 3 is wrong: input should be a valid string"),
        ({}, "'base' is missing"),
        ({"base": "quickstart", "variants": {"x": 3}}, "variants.x = 3 is wrong: it is a table"),
        ({"base": "quickstart", "trials": 3}, "did you mean 'design.trials'"),
        ({"base": "quickstart", "training": {"epochs": 3}}, "did you mean 'recipe.training'"),
        ({"base": "quickstart", "epochs": 3}, "did you mean 'recipe.training.epochs'"),
        ({"base": "quickstart", "reference": "x", "variants": {"a": {}}}, "is not a variant"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tables: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError, match=f"(?s){words}"):
        design.check(tables)


def test_a_study_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="optimizers"):
        design.load("optimisers")
    with pytest.raises(RecipeError, match="cannot read"):
        design.load(str(tmp_path / "none.toml"))


@pytest.mark.parametrize(
    ("vary", "words"),
    [
        ({"training": {"batch_size": {"choices": [64, -3, 128]}}}, "training.batch_size = -3"),
        ({"model": {"dropout": {"low": 0.0, "high": 1.5}}}, "model.dropout = 1.5"),
        ({"data": {"validation": {"choices": [0.1, 0.2]}}}, "changes the evaluated images"),
    ],
)
def test_every_value_that_could_be_tried_is_checked_first(vary: Any, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        study(vary=vary)


def test_a_pruner_takes_one_run_a_trial() -> None:
    with pytest.raises(RecipeError, match="one run per trial"):
        study(design={"pruner": "median", "replicates": 2})


@pytest.mark.parametrize("kind", ["random", "quasirandom"])
def test_variants_that_search_the_same_are_tried_at_the_same_points(kind: str) -> None:
    study = design.check(
        {
            "base": "quickstart",
            "vary": {"optimizer": {"learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}}},
            "variants": {"a": {"model": {"dropout": 0.0}}, "b": {"model": {"dropout": 0.5}}},
            "design": {"kind": kind, "trials": 5},
        }
    )
    assert points(study, "a") == points(study, "b")
    more = study.model_copy(update={"design": study.design.model_copy(update={"trials": 8})})
    assert points(more, "a")[:5] == points(study, "a")


@pytest.mark.parametrize("kind", ["random", "quasirandom"])
def test_no_point_is_tried_twice(kind: str) -> None:
    space = {"choices": [0.0, 0.1, 0.2]}
    few = study(vary={"model": {"dropout": space}}, design={"kind": kind, "trials": 12})
    tried = [point["model.dropout"] for point in points(few, "all")]
    assert sorted(tried) == [0.0, 0.1, 0.2]
    more = study(vary={"model": {"dropout": space}}, design={"kind": kind, "trials": 13})
    assert points(more, "all") == points(few, "all")


def test_a_variant_with_nothing_to_search_is_tried_once() -> None:
    study = design.check({"base": "quickstart", "variants": {"a": {"model": {"dropout": 0.1}}}})
    assert points(study, "a") == [{}]


def test_a_variant_has_a_base_recipe_of_its_own() -> None:
    chosen = study(
        variants={"small": {}, "narrow": {"base": "mlp-budget"}},
        recipe={"data": {"name": "digits", "validation": 0.1}, "model": {"whitening": "none"}},
    )
    assert chosen.recipe_of("narrow", {}, 0).optimizer.name == "muon"
    assert chosen.recipe_of("small", {}, 0).optimizer.name == "adam"
    assert design.read(chosen.to_toml(), "it") == chosen


def test_variants_of_other_images_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"data\.name changes the evaluated images"):
        study(variants={"small": {}, "other": {"base": "mlp-budget"}})


def test_a_study_whose_variants_are_called_levels_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "old.toml"
    old = """
base = "quickstart"
[levels.narrow.model]
hidden = [8]
[levels.wide.model]
hidden = [64]
[quick.levels.narrow.model]
hidden = [4]
"""
    path.write_text(old)
    assert design.load(str(path)).names == ["narrow", "wide"]
    quick = design.load(str(path), quick=True)
    assert quick.recipe_of("narrow", {}, 0).model.model_dump()["hidden"] == [4]


def test_recipes_are_found_by_the_names_that_a_study_used_before_they_were_renamed() -> None:
    old = study(base="seed-honest", variants={"a": {}, "b": {"base": "seed-honest"}})
    new = study(base="published-honest", variants={"a": {}, "b": {"base": "published-honest"}})
    assert old == new
