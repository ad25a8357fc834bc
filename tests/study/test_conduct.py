"""Studies run for real: what they leave behind, and what survives of them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from PIL import Image
from typer.testing import CliRunner

from mlplab import recipes
from mlplab.cli import app
from mlplab.cli.study import Progress
from mlplab.errors import RunError, StorageError
from mlplab.report import study as results
from mlplab.runs import ledger, store
from mlplab.study import design, pool, preconditions
from mlplab.study import run as conduct
from mlplab.study.trials import Trials

pytestmark = pytest.mark.timeout(300)

COMMAND = [sys.executable, "-m", "mlplab", "study"]

SMALL: dict[str, Any] = {
    "base": "quickstart",
    "target": 0.5,
    "recipe": {
        "callbacks": {"tensorboard": "none", "early_stopping": "none"},
        "model": {"hidden": [16]},
        "training": {"epochs": 2},
    },
    "design": {"trials": 3, "finals": 3},
    "variants": {
        "adam": {
            "optimizer": {
                "name": "adam",
                "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True},
            }
        },
        "sgd": {
            "optimizer": {
                "name": "sgd",
                "learning_rate": {"low": 1e-2, "high": 1.0, "log": True},
                "momentum": {"choices": [0.0, 0.9]},
            }
        },
    },
}


def written(folder: Path, **changes: Any) -> str:
    """Write a small study with changes to its tables, and return its path."""
    path = folder / "small.toml"
    path.write_text(tomli_w.dumps({**SMALL, **changes}))
    return str(path)


def facts(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "study.json").read_text())


def trials(folder: Path) -> list[dict[str, Any]]:
    return [trial for level in facts(folder)["variants"].values() for trial in level["trials"]]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str, runs: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *words, "--runs-dir", str(runs), "--quiet"]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that nothing disturbed."""
    folder = tmp_path_factory.mktemp("study")
    done = run(written(folder), runs=folder / "runs")
    assert done.returncode == 0, done.stderr
    assert "sgd – adam on test: " in done.stdout or "adam – sgd on test: " in done.stdout
    return folder / "runs" / "small"


def table(folder: Path) -> list[tuple[Any, ...]]:
    """What must not depend on when, where and how often it was begun."""
    rows = [
        (level, trial["number"], json.dumps(trial["point"]), trial["value"], trial["outcome"])
        for level, found in facts(folder)["variants"].items()
        for trial in found["trials"]
    ]
    finals = [
        (path.name, store.read_record(path).metrics["test"]["accuracy"])
        for path in store.folders(folder / "finals")
    ]
    return rows + finals


def test_a_study_has_its_stated_total_and_opens_the_test_split_for_finals_alone(
    small: Path,
) -> None:
    assert facts(small)["status"] == "finished"
    assert [trial["outcome"] for trial in trials(small)] == ["finished"] * 6
    records = [store.read_record(path) for path in store.folders(small / "trials")]
    assert len(records) == 6
    assert all("test" not in record.metrics for record in records)
    assert {record.seed for record in records} == {0}
    finals = [store.read_record(path) for path in store.folders(small / "finals")]
    assert sorted((record.group, record.seed) for record in finals) == [
        (level, seed) for level in ("adam", "sgd") for seed in (1, 2, 3)
    ]
    assert {record.population.members for record in finals if record.population} == {3}
    ledger = ledger.count(small.parent, records[0].data_id)
    assert ledger == {"openings": 6, "configurations": 2}
    assert ledger.count(small / "finals", records[0].data_id) == ledger


def test_trials_keep_what_a_comparison_needs_and_no_more(small: Path) -> None:
    folder = small / "trials" / "adam-t00-s0"
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".")} == {
        "metrics.jsonl",
        "predictions-train.npz",
        "predictions-validation.npz",
        "recipe.toml",
        "record.json",
    }


def test_the_finals_are_those_of_the_best_trial(small: Path) -> None:
    for name, level in facts(small)["variants"].items():
        best = max(level["trials"], key=lambda trial: trial["value"])
        assert level["best"] == best["number"]
        recipe = (small / "finals" / f"{name}-s1" / "recipe.toml").read_text()
        assert f"learning_rate = {best['point']['optimizer.learning_rate']}" in recipe


def test_a_finished_study_is_not_run_again(small: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in small.rglob("record.json")}
    database = small / "optuna.db"
    done = run(written(small.parents[1]), runs=small.parent)
    assert done.returncode == 0
    assert {path: path.stat().st_mtime_ns for path in small.rglob("record.json")} == before
    assert database.exists()


def test_another_study_of_the_same_name_is_refused(small: Path) -> None:
    changed = {**SMALL["design"], "trials": 2}
    done = run(written(small.parents[1], design=changed), runs=small.parent)
    assert done.returncode == 2
    assert "differs in design.trials" in done.stderr


def test_finals_can_be_compared_by_their_names(small: Path) -> None:
    words = ["compare", "small/adam", "small/sgd", "--runs-dir", str(small.parent)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0
    assert "sgd – adam on test: " in done.stdout


def test_what_is_missing_is_said(small: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small, tmp_path / "small"))
    for path in (folder / "finals").glob("sgd-*"):
        shutil.rmtree(path)
    tables = facts(folder)
    tables["variants"]["adam"]["trials"][0] |= {"outcome": "failed", "reason": "<b>disk</b>"}
    (folder / "study.json").write_text(json.dumps(tables))
    found = results.load(folder)
    assert found.comparison is not None
    assert not found.comparison.pairings
    assert found.missing == [
        "adam: 1 of 3 trials failed, the first because: <b>disk</b>",
        "sgd: no final runs, so nothing is said of its test accuracy",
    ]


def test_a_study_whose_base_has_changed_is_not_gone_on_with(here: Path) -> None:
    base = here / "base.toml"
    base.write_text(recipes.text("quickstart"))
    path = written(here, base="base.toml", design={"trials": 1, "finals": 0})
    assert run(path, runs=here / "runs").returncode == 0
    base.write_text(recipes.text("quickstart").replace("batch_size = 64", "batch_size = 32"))
    done = run(path, runs=here / "runs")
    assert done.returncode == 2
    assert "begun with another base.training.batch_size" in done.stderr


def test_a_kill_while_trials_are_asked_leaves_them_whole(here: Path) -> None:
    study = design.check(SMALL)
    book = Trials(study, here / "optuna.db")
    handle = book._levels["sgd"].ask()  # as far as it had come
    handle.suggest_categorical("optimizer.momentum", [0.0, 0.9])
    again = Trials(study, here / "optuna.db").ask(range(3))
    assert [(t.level, t.number) for t in again if t.level == "sgd"] == [
        ("sgd", number) for number in range(3)
    ]
    assert all(set(t.point) == set(study.spaces(t.level)) for t in again)


def test_trials_that_are_all_equal_have_no_importances(here: Path) -> None:
    study = design.check({**SMALL, "design": {"trials": 9}})
    book = Trials(study, here / "optuna.db")
    for trial in book.ask(range(9)):
        book.tell(trial, 0.1, "finished", None, 1)
    assert book.importances("adam") == {}


def test_a_damaged_database_is_told_in_one_line(small: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small, tmp_path / "runs" / "small"))
    (folder / "optuna.db").write_bytes(b"no database")
    done = run(written(tmp_path), runs=folder.parent)
    assert done.returncode == 1
    assert "optuna.db cannot be used" in done.stderr


def test_damaged_facts_are_told_in_one_line(small: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small, tmp_path / "small"))
    tables = facts(folder)
    del tables["variants"]["adam"]["total"]
    (folder / "study.json").write_text(json.dumps(tables))
    with pytest.raises(RunError, match="is damaged"):
        results.load(folder)


def test_what_is_no_fault_of_a_trial_stops_the_study_and_counts_for_nothing(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = here / "photos"
    for name in ("a", "b"):
        (photos / name).mkdir(parents=True)
        for number in range(12):
            Image.new("RGB", (8, 8), (10 * number, 0, 0)).save(photos / name / f"{number}.png")
    data = {"name": "folder", "path": "photos", "image_size": 8}
    recipe = {**SMALL["recipe"], "data": data}
    study = design.check({**SMALL, "recipe": recipe, "design": {"trials": 1, "finals": 0}})
    settings = preconditions.Settings(folder=here / "runs" / "s")
    preconditions.begin(study, settings.folder, preconditions.prepare(study, settings))
    photos.rename(here / "away")
    for mended in (False, True):
        with pool.pool(1, here / "log") as workers:
            if mended:
                (here / "away").rename(photos)
                conduct.conduct(study, settings, workers, Progress())
            else:
                with pytest.raises(StorageError, match="the same command goes on"):
                    conduct.conduct(study, settings, workers, Progress())
    assert [trial["outcome"] for trial in trials(settings.folder)] == ["finished"] * 2
    assert [trial["attempts"] for trial in trials(settings.folder)] == [1, 1]


def test_a_population_that_was_cut_short_is_trained_again_as_a_whole(
    small: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(small, tmp_path / "runs" / "small"))
    before = table(folder)
    shutil.rmtree(folder / "finals" / "sgd-s3")
    assert run(written(tmp_path), runs=folder.parent).returncode == 0
    assert table(folder) == before
    for seed in (1, 2, 3):
        members = store.read_record(folder / "finals" / f"sgd-s{seed}").population
        assert members is not None
        assert members.members == 3


def started(folder: Path, *words: str) -> "subprocess.Popen[bytes]":
    command = [*COMMAND, *words, "--runs-dir", str(folder), "--quiet"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for(condition: Any, seconds: float = 60) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


def workers(parent: int) -> list[int]:
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [pid for pid in map(int, listed) if b"study.worker" in
            Path(f"/proc/{pid}/cmdline").read_bytes()]  # fmt: skip


def test_a_killed_study_goes_on_to_the_same_table(small: Path, tmp_path: Path) -> None:
    path, folder = written(tmp_path), tmp_path / "runs" / "small"
    for ended in (1, 4):
        process = started(folder.parent, path)
        wait_for(lambda ended=ended: len(store.folders(folder / "trials")) >= ended)
        own = workers(process.pid)
        process.kill()
        process.wait()
        wait_for(lambda own=own: not any(Path(f"/proc/{pid}").exists() for pid in own), 10)
    assert run(path, runs=folder.parent).returncode == 0
    assert table(folder) == table(small)
    assert len(store.folders(folder / "trials")) == 6


def test_a_killed_worker_costs_its_trial_one_attempt(small: Path, tmp_path: Path) -> None:
    path, folder = written(tmp_path), tmp_path / "runs" / "small"
    process = started(folder.parent, path)
    wait_for(lambda: len(store.folders(folder / "trials")) >= 1)
    os.kill(workers(process.pid)[0], signal.SIGKILL)
    assert process.wait(timeout=90) == 0
    assert table(folder) == table(small)
    assert max(trial["attempts"] for trial in trials(folder)) == 2


CALLBACK = """
import keras


class Fails(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        raise RuntimeError("out of luck")
"""


def test_lost_trials_are_tried_twice_recorded_and_shown(here: Path) -> None:
    (here / "own.py").write_text(CALLBACK)
    levels = {
        "sound": {},
        "diverges": {"optimizer": {"name": "sgd", "learning_rate": 1e30}},
        "fails": {"callbacks": {"own": {"name": "own:Fails"}}},
    }
    path = written(here, levels=levels, design={"trials": 1, "finals": 0, "replicates": 2})
    done = run(path, "--trust", runs=here / "runs")
    assert done.returncode == 0, done.stderr
    found = {trial["runs"][0].split("-")[0]: trial for trial in trials(here / "runs" / "small")}
    assert found["sound"]["outcome"] == "finished"
    assert found["diverges"]["outcome"] == "diverged"
    assert "no longer finite" in found["diverges"]["reason"]
    assert found["fails"]["outcome"] == "failed"
    assert "out of luck" in found["fails"]["reason"]
    assert (found["sound"]["attempts"], found["fails"]["attempts"]) == (1, 2)
    assert "1 of 1 trials failed, the first because:" in done.stderr
    members = store.read_record(here / "runs/small/trials/sound-t00-s1").population
    assert members is not None
    assert members.members == 2


def test_a_bayesian_study_prunes_and_proposes_the_same_again(here: Path) -> None:
    plan = {
        "kind": "bayesian",
        "trials": 12,
        "batch": 6,
        "finals": 0,
        "pruner": "median",
    }
    recipe = {**SMALL["recipe"], "training": {"epochs": 3}}
    levels = {"sgd": SMALL["variants"]["sgd"]}
    path = written(here, design=plan, recipe=recipe, levels=levels)
    assert run(path, runs=here / "runs").returncode == 0
    found = trials(here / "runs" / "small")
    assert len(found) == 12
    outcomes = [trial["outcome"] for trial in found]
    assert set(outcomes) == {"finished", "pruned"}
    pruned = next(trial for trial in found if trial["outcome"] == "pruned")
    record = store.read_record(here / "runs/small/trials" / pruned["runs"][0])
    assert record.epochs < 3
    # The first batch is proposed before anything is known: to be had again without a run.
    study = design.load(path)
    again = [trial.point for trial in Trials(study, here / "again.db").ask(range(6))]
    assert [trial["point"] for trial in found[:6]] == again


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nix"], "no study is called 'nix'"),
        (["optimizers", "--address", "x"], "add --engine ray"),
        (["optimizers", "desing.trials=3"], "'desing' is not a key of a study"),
        (["optimizers", "--name", "../x"], "cannot be a run's name"),
        (["batch-size", "recipe.data.validation=test"], "validates on the test split"),
    ],
)
def test_what_cannot_be_run_is_told_at_once(words: list[str], said: str, here: Path) -> None:
    done = CliRunner().invoke(app, ["study", *words, "--quick"])
    assert done.exit_code == 2
    assert said in done.stderr
    assert not (here / "runs").exists()


def test_a_study_grows_by_final_runs_and_not_by_trials_after_them(
    small: Path, tmp_path: Path
) -> None:
    shutil.copytree(small, tmp_path / "runs" / "small")
    before = table(small)
    more = written(tmp_path, design={"trials": 3, "finals": 4})
    assert run(more, runs=tmp_path / "runs").returncode == 0
    after = table(tmp_path / "runs" / "small")
    assert set(before) < set(after)
    assert len(after) == len(before) + 2
    again = written(tmp_path, design={"trials": 4, "finals": 4})
    refused = run(again, runs=tmp_path / "runs")
    assert refused.returncode == 2
    assert "have opened the test split" in refused.stderr
    assert table(tmp_path / "runs" / "small") == after


def test_a_study_of_no_levels_says_how_good_its_best_is(tmp_path: Path) -> None:
    alone: dict[str, Any] = {
        "optimizer": {"learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}}
    }
    alone["model"] = {"hidden": {"choices": [[8], [8, 8]]}}
    design = {"trials": 4, "finals": 3}
    done = run(written(tmp_path, levels={}, vary=alone, design=design), runs=tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    found = results.load(tmp_path / "runs" / "small")
    assert found.comparison is not None
    mean = found.comparison.entries[0].accuracy["test"]["mean"]
    assert f"{100 * mean:.2f} ±" in done.stdout
    assert "judged at the best of its trials" in done.stderr + done.stdout


def test_a_study_that_names_other_runs_is_refused(tmp_path: Path) -> None:
    taught = SMALL["recipe"] | {"teacher": {"runs": ["somebody"]}}
    refused = run(written(tmp_path, recipe=taught), runs=tmp_path / "runs")
    assert refused.returncode == 2
    assert "leave [teacher]" in refused.stderr
