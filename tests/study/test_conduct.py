"""Studies run for real: what they leave behind, and what survives of them."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from PIL import Image
from typer.testing import CliRunner, Result

from mlplab import recipes
from mlplab.cli.app import app
from mlplab.errors import RunError, StorageError
from mlplab.live import NoStudyProgress
from mlplab.report import study as results
from mlplab.runs import ledger, store
from mlplab.study import design, pool, preconditions
from mlplab.study import run as conduct
from mlplab.study.job import RowsOnly, TrialJob, carry_out
from mlplab.study.pool import Executor, Listener, Outcome, Pool, Row
from mlplab.study.trials import Trials

pytestmark = pytest.mark.timeout(300)

SMALL: dict[str, Any] = {
    "base": "quickstart",
    "target": 0.5,
    "recipe": {
        "callbacks": {"tensorboard": "none", "early_stopping": "none"},
        "model": {"hidden": [16]},
        "training": {"epochs": 2},
    },
    "design": {"trials": 2, "finals": 2},
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


class InProcess:
    """Carries out jobs here, one after the other: a worker would first have to load Keras."""

    def run(self, jobs: Sequence[TrialJob], listener: Listener) -> None:
        for job in jobs:
            listener.on_begin(job)

            def on_row(row: Row, job: TrialJob = job) -> None:
                if not listener.on_row(job, row):
                    signal.raise_signal(signal.SIGINT)

            carry_out(job, RowsOnly(on_row))
            listener.on_end(job, Outcome(None, 1))


def study(*words: str, runs: Path, executor: Executor | None = None) -> Result:
    """Run the command, its jobs carried out in this process or by a given executor."""

    @contextmanager
    def opened(*given: Any) -> Iterator[Executor]:
        yield executor or InProcess()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlplab.study.executors.opened", opened)
        return CliRunner().invoke(app, ["study", *words, "--runs-dir", str(runs), "--quiet"])


def facts(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "study.json").read_text())
    return found


def trials(folder: Path) -> list[dict[str, Any]]:
    variants = facts(folder)["variants"].values()
    return [trial for variant in variants for trial in variant["trials"]]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that nothing disturbed."""
    folder = tmp_path_factory.mktemp("study")
    done = study(written(folder), runs=folder / "runs")
    assert done.exit_code == 0, done.stderr
    assert "sgd – adam on test: " in done.stdout or "adam – sgd on test: " in done.stdout
    return folder / "runs" / "small"


def table(folder: Path) -> list[tuple[Any, ...]]:
    """What must not depend on when, where and how often it was started."""
    rows = [
        (variant, trial["number"], json.dumps(trial["point"]), trial["value"], trial["outcome"])
        for variant, found in facts(folder)["variants"].items()
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
    assert [trial["outcome"] for trial in trials(small)] == ["finished"] * 4
    records = [store.read_record(path) for path in store.folders(small / "trials")]
    assert len(records) == 4
    assert all("test" not in record.metrics for record in records)
    assert {record.seed for record in records} == {0}
    finals = [store.read_record(path) for path in store.folders(small / "finals")]
    assert sorted((record.group, record.seed) for record in finals) == [
        (variant, seed) for variant in ("adam", "sgd") for seed in (1, 2)
    ]
    assert {record.population.members for record in finals if record.population} == {2}
    counted = ledger.count(small.parent, records[0].data_ids)
    assert counted == {"openings": 4, "configurations": 2}
    assert ledger.count(small / "finals", records[0].data_ids) == counted


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
    for name, variant in facts(small)["variants"].items():
        best = max(variant["trials"], key=lambda trial: trial["value"])
        assert variant["best"] == best["number"]
        recipe = (small / "finals" / f"{name}-s1" / "recipe.toml").read_text()
        assert f"learning_rate = {best['point']['optimizer.learning_rate']}" in recipe


def test_a_finished_study_is_not_run_again(small: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in small.rglob("record.json")}
    database = small / "optuna.db"
    done = study(written(small.parents[1]), runs=small.parent)
    assert done.exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in small.rglob("record.json")} == before
    assert database.exists()


def test_another_study_of_the_same_name_is_refused(small: Path) -> None:
    changed = {**SMALL["design"], "trials": 1}
    done = study(written(small.parents[1], design=changed), runs=small.parent)
    assert done.exit_code == 2
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
        "adam: 1 of 2 trials failed, the first because: <b>disk</b>",
        "sgd: no final runs, so its test accuracy is not known",
    ]


def test_a_study_whose_base_has_changed_is_not_continued(here: Path) -> None:
    base = here / "base.toml"
    base.write_text(recipes.text("quickstart"))
    path = written(here, base="base.toml", variants={}, design={"trials": 1, "finals": 0})
    assert study(path, runs=here / "runs").exit_code == 0
    base.write_text(recipes.text("quickstart").replace("batch_size = 64", "batch_size = 32"))
    done = study(path, runs=here / "runs")
    assert done.exit_code == 2
    assert "another base.training.batch_size" in done.stderr


def test_a_kill_while_trials_are_asked_leaves_them_whole(here: Path) -> None:
    small = design.check(SMALL)
    book = Trials(small, here / "optuna.db")
    handle = book._variants["sgd"].ask()  # as far as it had come
    handle.suggest_categorical("optimizer.momentum", [0.0, 0.9])
    again = Trials(small, here / "optuna.db").ask(range(2))
    assert [t.number for t in again if t.variant == "sgd"] == [0, 1]
    assert all(set(t.point) == set(small.spaces(t.variant)) for t in again)


def test_trials_that_are_all_equal_have_no_importances(here: Path) -> None:
    book = Trials(design.check({**SMALL, "design": {"trials": 9}}), here / "optuna.db")
    for trial in book.ask(range(9)):
        book.tell(trial, 0.1, "finished", None, 1)
    assert book.importances("adam") == {}


def test_a_damaged_database_is_named_in_one_line(small: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small, tmp_path / "runs" / "small"))
    (folder / "optuna.db").write_bytes(b"no database")
    done = study(written(tmp_path), runs=folder.parent)
    assert done.exit_code == 1
    assert "optuna.db cannot be used" in done.stderr


def test_damaged_facts_are_named_in_one_line(small: Path, tmp_path: Path) -> None:
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
    short = design.check({**SMALL, "recipe": recipe, "design": {"trials": 1, "finals": 0}})
    settings = preconditions.Settings(folder=here / "runs" / "s")
    preconditions.begin(short, settings.folder, preconditions.prepare(short, settings))
    photos.rename(here / "away")
    with pool.pool(1, here / "log") as workers, pytest.raises(StorageError, match="to continue"):
        conduct.conduct(short, settings, workers, NoStudyProgress())
    (here / "away").rename(photos)
    conduct.conduct(short, settings, InProcess(), NoStudyProgress())
    assert [trial["outcome"] for trial in trials(settings.folder)] == ["finished"] * 2
    assert [trial["attempts"] for trial in trials(settings.folder)] == [1, 1]


def test_a_population_that_was_cut_short_is_trained_again_as_a_whole(
    small: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(small, tmp_path / "runs" / "small"))
    before = table(folder)
    shutil.rmtree(folder / "finals" / "sgd-s2")
    assert study(written(tmp_path), runs=folder.parent).exit_code == 0
    assert table(folder) == before
    for seed in (1, 2):
        members = store.read_record(folder / "finals" / f"sgd-s{seed}").population
        assert members is not None
        assert members.members == 2


KILLED = """
import os, signal, sys
from mlplab.cli import main
from mlplab.study.run import _Round

on_row, rows = _Round.on_row, []

def killing(self, job, row):
    rows.append(row)
    if len(rows) == 4:  # the second trial is under way
        pid = os.getpid()
        with open(f"/proc/{pid}/task/{pid}/children") as children:
            print(children.read(), flush=True)
        os.kill(pid, signal.SIGKILL)
    return on_row(self, job, row)

_Round.on_row = killing
main()
"""


def test_a_killed_study_is_continued_to_the_same_table(small: Path, tmp_path: Path) -> None:
    path, folder = written(tmp_path), tmp_path / "runs" / "small"
    words = ["study", path, "--runs-dir", str(folder.parent), "--workers", "1", "--quiet"]
    killed = subprocess.run([sys.executable, "-c", KILLED, *words], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    workers = killed.stdout.split()
    assert workers
    while any(Path("/proc", pid).exists() for pid in workers):
        time.sleep(0.01)  # its workers end with it
    assert study(path, runs=folder.parent).exit_code == 0
    assert table(folder) == table(small)
    assert len(store.folders(folder / "trials")) == 4


@dataclass
class Killing:
    """Passes on what is reported of jobs, and kills the worker at the first epoch."""

    workers: Pool
    listener: Listener
    killed: bool = False

    def run(self, jobs: Sequence[TrialJob], listener: Listener) -> None:
        self.listener = listener
        self.workers.run(jobs, self)

    def on_begin(self, job: TrialJob) -> None:
        self.listener.on_begin(job)

    def on_row(self, job: TrialJob, row: Row) -> bool:
        if not self.killed:
            (worker,) = self.workers._busy
            worker.process.kill()
            self.killed = True
        return self.listener.on_row(job, row)

    def on_end(self, job: TrialJob, outcome: Outcome) -> None:
        self.listener.on_end(job, outcome)


CALLBACK = """
import keras


class Fails(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        raise RuntimeError("out of luck")
"""


@pytest.mark.torture
def test_trials_of_killed_workers_and_lost_ones_are_tried_twice_and_shown(here: Path) -> None:
    (here / "own.py").write_text(CALLBACK)
    variants = {
        "sound": {},
        "diverges": {"optimizer": {"name": "sgd", "learning_rate": 1e30}},
        "fails": {"callbacks": {"own": {"name": "own:Fails"}}},
    }
    path = written(here, variants=variants, design={"trials": 1, "finals": 0, "replicates": 2})
    with pool.pool(1, here / "log") as workers:  # which looks for modules where it was started
        killing = Killing(workers, listener=conduct._Finals(NoStudyProgress()))
        done = study(path, "--trust", runs=here / "runs", executor=killing)
    assert killing.killed
    assert done.exit_code == 1
    assert facts(here / "runs" / "small")["status"] == "incomplete"
    assert "error: no result for diverges, fails of 3 variants; diverges: the loss" in done.stderr
    found = {trial["runs"][0].split("-")[0]: trial for trial in trials(here / "runs" / "small")}
    assert found["sound"]["outcome"] == "finished"
    assert found["diverges"]["outcome"] == "diverged"
    assert "no longer finite" in found["diverges"]["reason"]
    assert found["fails"]["outcome"] == "failed"
    assert "out of luck" in found["fails"]["reason"]
    assert (found["sound"]["attempts"], found["fails"]["attempts"]) == (2, 2)
    assert "1 of 1 trials failed, the first because:" in done.stderr
    members = store.read_record(here / "runs/small/trials/sound-t00-s1").population
    assert members is not None
    assert members.members == 2

    (here / "own.py").write_text(CALLBACK.replace("raise RuntimeError", "str"))
    with pool.pool(1, here / "log") as workers:
        done = study(path, "--trust", runs=here / "runs", executor=workers)
    assert "error: no result for diverges of 3 variants" in done.stderr
    again = {trial["runs"][0].split("-")[0]: trial for trial in trials(here / "runs" / "small")}
    assert (again["fails"]["outcome"], again["fails"]["number"]) == ("finished", 0)
    assert (again["sound"], again["diverges"]) == (found["sound"], found["diverges"])


def test_what_failed_is_repeated_under_its_number_until_its_variant_is_chosen(here: Path) -> None:
    plan = {**SMALL, "variants": {"sgd": SMALL["variants"]["sgd"]}}
    book = Trials(design.check(plan), here / "optuna.db")
    first, second = book.ask(range(2))
    book.tell(first, None, "failed", "out of luck", 2)
    book.tell(second, 0.5, "finished", None, 1)
    assert book.ask(range(2), {"sgd"}) == []
    (again,) = Trials(design.check(plan), here / "optuna.db").ask(range(2))  # a kill loses nothing
    assert (again.number, again.point) == (first.number, first.point)
    (again,) = book.ask(range(2))
    book.tell(again, 0.6, "finished", None, 1)
    grown = Trials(design.check({**plan, "design": {"trials": 3}}), here / "optuna.db")
    (third,) = grown.ask(range(3))
    assert third.number == 2
    grown.tell(third, 0.7, "finished", None, 1)
    assert [(trial.number, trial.value) for trial in grown.all("sgd")] == [
        (0, 0.6),
        (1, 0.5),
        (2, 0.7),
    ]


def test_a_bayesian_study_prunes_and_proposes_the_same_again(here: Path) -> None:
    plan = {
        "kind": "bayesian",
        "trials": 8,
        "batch": 4,
        "finals": 0,
        "pruner": "median",
    }
    recipe = {**SMALL["recipe"], "training": {"epochs": 3}}
    variants = {"sgd": SMALL["variants"]["sgd"]}
    path = written(here, design=plan, recipe=recipe, variants=variants)
    assert study(path, runs=here / "runs").exit_code == 0
    found = trials(here / "runs" / "small")
    assert len(found) == 8
    outcomes = [trial["outcome"] for trial in found]
    assert set(outcomes) == {"finished", "pruned"}
    pruned = next(trial for trial in found if trial["outcome"] == "pruned")
    record = store.read_record(here / "runs/small/trials" / pruned["runs"][0])
    assert record.epochs < 3
    # The first batch is proposed before anything is known: to be had again without a run.
    again = [trial.point for trial in Trials(design.load(path), here / "again.db").ask(range(4))]
    assert [trial["point"] for trial in found[:4]] == again


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
def test_what_cannot_be_run_is_refused_at_once(words: list[str], said: str, here: Path) -> None:
    done = CliRunner().invoke(app, ["study", *words, "--quick"])
    assert done.exit_code == 2
    assert said in done.stderr
    assert not (here / "runs").exists()


def test_a_study_grows_by_final_runs_and_not_by_trials_after_them(
    small: Path, tmp_path: Path
) -> None:
    shutil.copytree(small, tmp_path / "runs" / "small")
    before = table(small)
    more = written(tmp_path, design={"trials": 2, "finals": 3})
    assert study(more, runs=tmp_path / "runs").exit_code == 0
    after = table(tmp_path / "runs" / "small")
    assert set(before) < set(after)
    assert len(after) == len(before) + 2
    again = written(tmp_path, design={"trials": 3, "finals": 3})
    refused = study(again, runs=tmp_path / "runs")
    assert refused.exit_code == 2
    assert "were evaluated on the test set" in refused.stderr
    assert table(tmp_path / "runs" / "small") == after


def test_a_study_without_variants_says_how_good_its_best_is(tmp_path: Path) -> None:
    alone: dict[str, Any] = {
        "optimizer": {"learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}}
    }
    alone["model"] = {"hidden": {"choices": [[16], [8]]}}
    design = {"trials": 2, "finals": 2}
    path = written(tmp_path, variants={}, vary=alone, design=design)
    done = study(path, runs=tmp_path / "runs")
    assert done.exit_code == 0, done.stderr
    found = results.load(tmp_path / "runs" / "small")
    assert found.comparison is not None
    mean = found.comparison.entries[0].accuracy["test"]["mean"]
    assert f"{100 * mean:.2f} ±" in done.stdout
    assert "at the best of its trials" in done.stderr + done.stdout


def test_a_study_that_names_other_runs_is_refused(tmp_path: Path) -> None:
    taught = SMALL["recipe"] | {"teacher": {"runs": ["somebody"]}}
    refused = study(written(tmp_path, recipe=taught), runs=tmp_path / "runs")
    assert refused.exit_code == 2
    assert "leave [teacher]" in refused.stderr
