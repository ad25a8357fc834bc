"""Processes killed at random moments, files that cannot grow, many writers: nothing is lost.

A few of each here; `make torture` does the long form, and docs/reliability.md has its figures.
"""

import itertools
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mlplab
from mlplab import recipes
from mlplab.runs import ledger, store, tidy
from mlplab.runs.run import Run

Same = Callable[[Run, Run], None]
MLPLAB = [sys.executable, "-m", "mlplab"]

STOPPING = {
    "name": "EarlyStopping", "patience": 4, "min_delta": 0.01, "restore_best_weights": True
}  # fmt: skip
PLATEAU = {"name": "ReduceLROnPlateau", "patience": 1, "min_delta": 0.05}
RECIPES: dict[str, dict[str, Any]] = {
    "everything": {
        "model": {"hidden": [64], "dropout": 0.3},
        "average": {"momentum": 0.9},
        "training": {"epochs": 12},
        "callbacks": {"early_stopping": STOPPING, "plateau": PLATEAU, "log": {"name": "CSVLogger"}},
    },
    "schedule": {
        "model": {"hidden": [64, 32], "normalisation": "batch"},
        "optimizer": {"name": "muon", "learning_rate": 0.01},
        "schedule": {"name": "WarmupCosine", "warmup_epochs": 1},
        "augment": {"shift": 1},
        "training": {"epochs": 8, "batch_size": 100},
    },
    "schedule-free": {
        "model": {"hidden": [64], "dropout": 0.1},
        "optimizer": {"name": "ScheduleFreeAdamW", "learning_rate": 0.01},
        "training": {"epochs": 8},
        "callbacks": {"early_stopping": STOPPING},
    },
}


class Whole:
    """Runs that nothing interrupted, each with the seconds that its command takes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds: dict[str, float] = {}

    def command(self, name: str, runs_dir: Path) -> list[str]:
        path = self.folder / f"{name}.toml"
        if not path.exists():
            path.write_text(recipes.to_toml(mlplab.recipe("quickstart", **RECIPES[name])))
        words = [*MLPLAB, "train", str(path), "--resume", "auto", "--checkpoint", "0", "--quiet"]
        return [*words, "--name", "run", "--runs-dir", str(runs_dir)]

    def run(self, name: str) -> Run:
        if name not in self.seconds:
            command = self.command(name, self.folder / name)
            subprocess.run(command, check=True, capture_output=True)  # compiles
            begun = time.monotonic()
            subprocess.run([*command, "--name", "again"], check=True, capture_output=True)
            self.seconds[name] = time.monotonic() - begun
        return Run(self.folder / name / "run")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(tmp_path_factory.mktemp("whole"))


def kill_and_resume(name: str, moment: float, whole: Whole, same: Same, folder: Path) -> str:
    """Kill a training at a share of its time, take it up again, and compare; return its status."""
    expected = whole.run(name)
    command = whole.command(name, folder)
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    time.sleep(moment * whole.seconds[name])
    process.send_signal(signal.SIGKILL)
    process.wait()
    records = [store.read_record(path) for path in store.folders(folder)]
    status = records[0].status if records else "nothing"
    assert status in ("nothing", "interrupted", "finished")
    if status != "finished":
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    found = store.folders(folder)
    assert len(found) == 1
    same(Run(found[0]), expected)
    assert tidy.check(found[0]).problems == ()
    return status


@pytest.mark.parametrize(("name", "moment"), [("everything", 0.6), ("schedule", 0.8)])
def test_a_killed_run_ends_as_if_it_had_not_been(
    name: str, moment: float, whole: Whole, same: Same, tmp_path: Path
) -> None:
    kill_and_resume(name, moment, whole, same, tmp_path)


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_fifty_kills_at_random_moments(whole: Whole, same: Same, tmp_path: Path) -> None:
    draw = random.Random(0)
    statuses: dict[str, int] = {}
    for number in range(50):
        name, moment = draw.choice(list(RECIPES)), draw.uniform(0.15, 1.0)
        status = kill_and_resume(name, moment, whole, same, tmp_path / str(number))
        statuses[status] = statuses.get(status, 0) + 1
    print(f"\n50 of 50 to the identical result; when killed: {statuses}")


def limited(size: int) -> Callable[[], None]:
    """Let no file of the process grow over so many bytes, as a full disk would."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


SIZES = (100, 3_000, 20_000, 60_000, 150_000)


@pytest.mark.parametrize("size", [3_000, 60_000])
def test_a_disk_that_fills_is_told_and_loses_nothing(
    size: int, whole: Whole, same: Same, tmp_path: Path
) -> None:
    fill_and_resume(size, whole, same, tmp_path)


@pytest.mark.torture
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("size", SIZES)
def test_a_disk_that_fills_anywhere(size: int, whole: Whole, same: Same, tmp_path: Path) -> None:
    fill_and_resume(size, whole, same, tmp_path)


def fill_and_resume(size: int, whole: Whole, same: Same, folder: Path) -> None:
    expected = whole.run("everything")
    command = whole.command("everything", folder)
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limited(size))
    assert done.returncode == 1, done.stderr
    assert "no space left" in done.stderr
    assert "Traceback" not in done.stderr
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    found = [path for path in store.folders(folder) if store.read_record(path).status == "finished"]
    same(Run(found[0]), expected)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    done = subprocess.run(
        [*MLPLAB, "train", "quickstart", "--runs-dir", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    tmp_path.chmod(0o700)
    assert done.returncode == 1
    assert "cannot write" in done.stderr


def test_a_clock_that_jumps_changes_neither_result_nor_durations(
    same: Same, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = mlplab.recipe("quickstart", model={"hidden": [16]}, training={"epochs": 4})
    steady = mlplab.train(recipe, runs_dir=tmp_path, name="steady")
    jumps = itertools.cycle((0.0, -86_400.0, 1e9, -1e9))
    true_time = time.time
    monkeypatch.setattr(time, "time", lambda: true_time() + next(jumps))
    jumping = mlplab.train(recipe, runs_dir=tmp_path, name="jumping")
    monkeypatch.undo()
    same(jumping, steady)
    assert all(0 <= row["seconds"] < 60 for row in jumping.history)
    assert all(0 <= value < 60 for value in jumping.record.seconds.model_dump().values())
    assert tidy.check(jumping.folder).problems == ()


def at_once(count: int, folder: Path) -> None:
    """Train so many runs at the same time in one runs folder, and check each."""
    overrides = ["training.epochs=2", "model.hidden=[16]"]
    command = [*MLPLAB, "train", "quickstart", *overrides, "--runs-dir", str(folder), "--quiet"]
    processes = [
        subprocess.Popen([*command, "--name", "same", "--seed", str(n)], stdout=subprocess.DEVNULL)
        for n in range(count)
    ]
    assert [process.wait() for process in processes] == [0] * count
    runs = [Run(path) for path in store.folders(folder)]
    assert sorted(run.record.seed for run in runs) == list(range(count))
    assert all(tidy.check(run.folder).problems == () for run in runs)
    assert ledger.count(folder, runs[0].record.data_id)["openings"] == count


def test_trainings_at_once_do_not_mix(tmp_path: Path) -> None:
    at_once(3, tmp_path)


@pytest.mark.torture
@pytest.mark.timeout(1200)
def test_twenty_trainings_at_once_do_not_mix(tmp_path: Path) -> None:
    at_once(20, tmp_path)


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_five_hundred_trainings_in_one_process_keep_its_memory(tmp_path: Path) -> None:
    code = """
import shutil, sys
import mlplab

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

recipe = mlplab.recipe("quickstart", training={"epochs": 1}, model={"hidden": [16]})
for number in range(520):
    run = mlplab.train(recipe.model_copy(update={"seed": number}), runs_dir=sys.argv[1])
    shutil.rmtree(run.folder)
    if number == 19:
        begun = resident()
print(resident() / begun - 1)
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    growth = float(done.stdout.split()[-1])
    print(f"\nmemory after 500 trainings: {100 * growth:+.1f} %")
    assert growth < 0.05
