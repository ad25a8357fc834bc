"""Comparisons of made-up records whose truth is known."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from mlplab.cli import app
from mlplab.errors import RunError
from mlplab.report.comparison import compare
from mlplab.report.configurations import find_sides
from mlplab.runs import store
from mlplab.runs.record import Record, Seconds

IMAGES = 2000


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def make(runs: Path, name: str, accuracies: list[float], **facts: Any) -> None:
    """Write finished runs of one configuration, seed by seed, with their predictions."""
    random = np.random.default_rng(len(name))
    for seed, accuracy in enumerate(accuracies):
        folder = store.create(runs, f"{name}-s{seed}")
        n = {"n": IMAGES, "accuracy": accuracy}
        record = Record(
            name=folder.name,
            recipe=name,
            config_id=f"id-of-{name}",
            seed=seed,
            data_id="sha256:0",
            group=name,
            status="finished",
            epochs=10,
            parameters=100,
            flops_per_example=200,
            seconds=Seconds(train=facts.pop("seconds", 1.0)),
            metrics={"train": {"n": 5000}, "validation": n, "test": n},
        ).model_copy(update=facts)
        store.write_record(folder, record)
        labels = np.zeros(IMAGES, np.int32)
        right = np.arange(IMAGES) < round(accuracy * IMAGES)
        probabilities = np.stack([right, ~right], axis=1).astype(np.float32)
        order = random.permutation(IMAGES)
        store.write_predictions(folder, "test", probabilities[order], labels, order)


def only(found: Any) -> Any:
    (pairing,) = found.pairings
    return pairing


def test_a_clear_difference_is_told_with_its_interval(runs: Path) -> None:
    make(runs, "a", [0.50, 0.51, 0.49, 0.50, 0.505])
    make(runs, "b", [0.53, 0.541, 0.52, 0.528, 0.536])
    pairing = only(compare(find_sides(runs, ["a", "b"])))
    assert pairing.shown
    assert pairing.verdict.startswith("b is better by 3.0 points (")
    assert pairing.n == 5
    assert pairing.low < pairing.mean < pairing.high


def test_luck_is_told_as_such_with_the_seeds_that_it_would_take(runs: Path) -> None:
    make(runs, "a", [0.50, 0.52, 0.49, 0.51, 0.50])
    make(runs, "b", [0.51, 0.50, 0.50, 0.52, 0.49])
    verdict = only(compare(find_sides(runs, ["a", "b"]))).verdict
    assert verdict.startswith("not distinguishable with 5 seeds: about ")
    assert verdict.endswith("would show a difference of 0.5 points")


def test_small_differences_are_equivalent(runs: Path) -> None:
    make(runs, "a", [0.50, 0.51, 0.52])
    make(runs, "b", [0.502, 0.509, 0.5205])
    sides = find_sides(runs, ["a", "b"])
    assert only(compare(sides, margin=0.02)).verdict == "b and a are equivalent within 2 points"
    assert "not distinguishable" in only(compare(sides, margin=0.002)).verdict


def test_pairs_are_of_one_seed_whatever_their_order(runs: Path) -> None:
    make(runs, "a", [0.1, 0.3, 0.2, 0.6])
    make(runs, "b", [0.11, 0.32, 0.21])
    pairing = only(compare(find_sides(runs, ["a", "b"])))
    assert pairing.values == pytest.approx({0: 0.01, 1: 0.02, 2: 0.01})


def test_two_single_runs_are_compared_by_mcnemar(runs: Path) -> None:
    make(runs, "a", [0.50])
    make(runs, "b", [0.60])
    pairing = only(compare(find_sides(runs, ["a-s0", "b-s0"])))
    # Their predictions lie in different orders; image by image, b has 200 more.
    assert pairing.mcnemar["first"] == 200
    assert pairing.mcnemar["second"] == 0
    assert "two networks, not the two recipes" in pairing.verdict
    assert pairing.low is None


def test_two_pairs_give_no_interval(runs: Path) -> None:
    make(runs, "a", [0.5, 0.6])
    make(runs, "b", [0.6, 0.7])
    pairing = only(compare(find_sides(runs, ["a", "b"])))
    assert pairing.low is None
    assert "at least 3 seeds" in pairing.verdict


def test_a_family_is_adjusted_and_says_so(runs: Path) -> None:
    make(runs, "a", [0.50, 0.51, 0.49, 0.50])
    for number in range(6):
        make(runs, f"b{number}", [0.52 + 0.001 * number, 0.53, 0.503, 0.51])
    alone = only(compare(find_sides(runs, ["a", "b0"])))
    together = compare(find_sides(runs, ["a", *(f"b{n}" for n in range(6))]))
    same = next(p for p in together.pairings if p.first == "b0")
    assert together.adjustment == "Holm"
    widths = []
    for pairing in (alone, same):
        assert pairing.low is not None
        assert pairing.high is not None
        widths.append(pairing.high - pairing.low)
    assert same.p > alone.p
    assert widths[1] > widths[0]


def test_the_front_holds_what_nothing_beats_in_both(runs: Path) -> None:
    make(runs, "slow", [0.6], seconds=9.0)
    make(runs, "fast", [0.5], seconds=1.0)
    make(runs, "neither", [0.4], seconds=5.0)
    found = compare(find_sides(runs, ["slow", "fast", "neither"]))
    assert {e.name: e.on_front for e in found.entries} == {
        "slow": True,
        "fast": True,
        "neither": False,
    }
    assert found.entries[0].cost["training_flops"] == 3 * 200 * 10 * 5000


def test_ranking_is_by_validation_and_not_by_test(runs: Path) -> None:
    make(runs, "a", [0.5], metrics={"validation": {"n": 9, "accuracy": 0.7}})
    make(runs, "b", [0.6], metrics={"validation": {"n": 9, "accuracy": 0.6}})
    found = compare(find_sides(runs, ["b", "a"]))
    assert [entry.name for entry in found.entries] == ["a", "b"]
    assert found.reference == "b"
    assert found.split == "validation"


@pytest.mark.parametrize(
    ("queries", "words"),
    [
        (["a", "a"], "named twice"),
        (["a", "?-s0"], "2 configurations"),
        (["a", "c"], "no run in"),
        (["a", "running"], "has finished"),
        (["a", "elsewhere"], "different data"),
    ],
)
def test_what_cannot_be_compared_is_told(queries: list[str], words: str, runs: Path) -> None:
    make(runs, "a", [0.5, 0.6])
    make(runs, "b", [0.5, 0.6])
    make(runs, "running", [0.5], status="failed")
    make(runs, "elsewhere", [0.5], data_id="sha256:1")
    with pytest.raises(RunError, match=words):
        compare(find_sides(runs, queries))


def test_what_selected_on_test_is_marked(runs: Path) -> None:
    make(runs, "a", [0.5, 0.6, 0.7])
    make(runs, "b", [0.51, 0.63, 0.75], selected_on="test")
    found = compare(find_sides(runs, ["a", "b"]))
    assert "optimistic" in found.notes[0]
    assert found.entries[-1].name == "b"


VALIDATION = {"n": IMAGES, "accuracy": 0.5}
UNTESTED = {"metrics": {"train": {"n": 5000}, "validation": VALIDATION}}


def test_where_one_run_lacks_test_all_are_compared_on_validation(runs: Path) -> None:
    make(runs, "a", [0.5, 0.6, 0.7])
    make(runs, "b", [0.51, 0.63, 0.75])
    record = store.read_record(runs / "b-s1")
    store.write_record(runs / "b-s1", record.model_copy(update=UNTESTED))
    found = compare(find_sides(runs, ["a", "b"]))
    assert found.split == "validation"
    assert any("not all runs were evaluated on test (missing: b-s1)" in t for t in found.notes)
    assert {entry.name: "test" in entry.accuracy for entry in found.entries} == {
        "a": True,
        "b": False,  # a mean over some of its seeds would not be comparable
    }
    with pytest.raises(RunError, match=r"not evaluated on test: b-s1\."):
        compare(find_sides(runs, ["a", "b"]), "test")


def test_validation_images_are_not_compared_with_test_images(runs: Path) -> None:
    make(runs, "a", [0.5, 0.6, 0.7], selected_on="test")
    make(runs, "b", [0.5], **UNTESTED)
    with pytest.raises(RunError, match=r"a validated on the test split.*once b-s0 "):
        compare(find_sides(runs, ["a", "b"]))


def test_the_command_speaks_json_markdown_and_words(runs: Path) -> None:
    make(runs, "a", [0.50, 0.51, 0.49, 0.50, 0.505])
    make(runs, "b", [0.53, 0.541, 0.52, 0.528, 0.536])
    words = ["compare", "a", "b", "--runs-dir", str(runs)]
    plain, tables, markdown = (
        CliRunner().invoke(app, [*words, *more]) for more in ([], ["--json"], ["--markdown"])
    )
    assert "b – a on test: b is better by 3.0 points" in plain.stdout
    assert json.loads(tables.stdout)["pairings"][0]["shown"] is True
    assert "| b | 5 | 53.10 ± 0.80 |" in markdown.stdout
    assert CliRunner().invoke(app, words[:2]).exit_code == 2


def test_single_runs_on_other_validation_images_are_not_compared_image_by_image(
    runs: Path,
) -> None:
    make(runs, "a", [0.5, 0.6])
    make(runs, "b", [0.5, 0.7])
    for name, shift in (("a-s0", 0), ("b-s1", 1)):
        labels = np.zeros(IMAGES, np.int32)
        probabilities = np.eye(2, dtype=np.float32)[labels]
        index = np.arange(IMAGES) + shift
        store.write_predictions(runs / name, "validation", probabilities, labels, index)
    pairing = only(compare(find_sides(runs, ["a-s0", "b-s1"]), "validation"))
    assert pairing.mcnemar is None
    assert "no seed in common" in pairing.verdict
    on_test = only(compare(find_sides(runs, ["a-s0", "b-s1"]), "test"))
    assert "b-s1 is better by 20.0 points" in on_test.verdict


def test_single_runs_are_adjusted_over_their_family(runs: Path) -> None:
    make(runs, "a", [0.5])
    for number in range(5):
        make(runs, f"b{number}", [0.503])
    alone = only(compare(find_sides(runs, ["a", "b0"])))
    together = compare(find_sides(runs, ["a", *(f"b{n}" for n in range(5))])).pairings[0]
    assert together.mcnemar is not None
    assert alone.mcnemar is not None
    assert together.mcnemar["adjusted_p"] == pytest.approx(5 * alone.mcnemar["p"])
    assert "better" in alone.verdict
    assert "not distinguishable" in together.verdict


def test_runs_that_diverged_are_told(runs: Path) -> None:
    make(runs, "a", [0.5, 0.51, 0.49])
    make(runs, "b", [0.7, 0.72, 0.71, 0.7])
    folder = runs / "b-s3"
    record = store.read_record(folder)
    store.write_record(folder, record.model_copy(update={"status": "diverged", "metrics": {}}))
    found = compare(find_sides(runs, ["a", "b"]))
    assert only(found).verdict.endswith("where it does not diverge")
    assert "1 of 4 runs diverged" in found.notes[0]
