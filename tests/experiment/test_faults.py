"""Processes killed at any file that they write, files that cannot grow, many writers at once.

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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.experiment.resumable import RECIPES, Whole, recipe, victim
from tests.helpers import train
from typer.testing import CliRunner

import mlplab
from mlplab.cli.app import app
from mlplab.runs import layout, ledger, store, tidy
from mlplab.runs.run import Run

Same = Callable[[Run, Run], None]
MLPLAB = [sys.executable, "-m", "mlplab"]


def kill_and_resume(name: str, part: str, nth: int, whole: Whole, same: Same, folder: Path) -> str:
    """Kill a training when it uses a file, resume or repeat it, and compare; return its status."""
    expected = whole[name]
    with victim(expected.folder / layout.RECIPE, folder, signal.SIGKILL, part, nth) as process:
        assert process.wait() == -signal.SIGKILL
    records = [store.read_record(path) for path in store.folders(folder)]
    status = records[0].status if records else "nothing"
    if status == "nothing":
        train(recipe(name), folder, "run")
    elif status != "finished":
        mlplab.resume("run", runs_dir=folder)
    (found,) = store.folders(folder)
    same(Run(found), expected)
    assert tidy.check(found).problems == ()
    return status


@pytest.mark.parametrize(
    ("name", "part", "nth", "status"),
    [
        pytest.param("schedule", "run", 1, "nothing", marks=pytest.mark.torture),
        ("everything", layout.METRICS, 5, "interrupted"),
        pytest.param(
            "schedule", layout.predictions("test"), 1, "interrupted", marks=pytest.mark.torture
        ),
        ("schedule", layout.RECORD, 15, "finished"),  # when it is written for the last time
    ],
    ids=["starting", "training", "judging", "publishing"],
)
def test_a_killed_run_ends_as_if_it_had_not_been(
    name: str, part: str, nth: int, status: str, whole: Whole, same: Same, tmp_path: Path
) -> None:
    assert kill_and_resume(name, part, nth, whole, same, tmp_path) == status


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_fifty_kills_at_random_moments(whole: Whole, same: Same, tmp_path: Path) -> None:
    uses = {}
    for name in RECIPES:
        recipe_file, folder = whole[name].folder / layout.RECIPE, tmp_path / name
        with victim(recipe_file, folder, signal.SIGKILL, "", 0) as process:
            uses[name] = int(process.communicate()[0])
    draw = random.Random(0)
    statuses: dict[str, int] = {}
    for number in range(50):
        name = draw.choice(list(RECIPES))
        nth = draw.randint(1, uses[name] - 5)
        status = kill_and_resume(name, "", nth, whole, same, tmp_path / str(number))
        statuses[status] = statuses.get(status, 0) + 1
    print(f"\n50 of 50 to the identical result; when killed: {statuses}")


@contextmanager
def limited(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond ``size`` bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    "size",
    [
        3_000,
        60_000,
        *(pytest.param(n, marks=pytest.mark.torture) for n in (100, 20_000, 150_000)),
    ],
)
@pytest.mark.usefixtures("without_pictures")
def test_a_full_disk_is_an_error_and_loses_nothing(
    size: int, whole: Whole, same: Same, tmp_path: Path
) -> None:
    expected = whole["everything"]
    words = ["train", str(expected.folder / layout.RECIPE), "--name", "run", "--quiet"]
    words += ["--resume", "auto", "--checkpoint", "0", "--test", "--runs-dir", str(tmp_path)]
    with limited(size):
        done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    assert "no space left" in done.stderr
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 0, again.stderr
    found = [
        path for path in store.folders(tmp_path) if store.read_record(path).status == "finished"
    ]
    same(Run(found[0]), expected)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
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
    small = mlplab.recipe("quickstart", model={"hidden": [16]}, training={"epochs": 4})
    steady = train(small, tmp_path, "steady")
    jumps = itertools.cycle((0.0, -86_400.0, 1e9, -1e9))
    true_time = time.time
    monkeypatch.setattr(time, "time", lambda: true_time() + next(jumps))
    begun = time.perf_counter()
    jumping = train(small, tmp_path, "jumping")
    took = time.perf_counter() - begun
    monkeypatch.undo()
    same(jumping, steady)
    assert all(0 <= row["seconds"] <= took for row in jumping.history)
    assert all(0 <= value <= took for value in jumping.record.seconds.model_dump().values())
    assert tidy.check(jumping.folder).problems == ()


ONE_OF_MANY = """
import sys
from pathlib import Path
import mlplab
from mlplab.experiment import execute
from mlplab.experiment.options import Options

small = {"model": {"hidden": [16]}, "training": {"epochs": 2}}
recipe = mlplab.recipe("quickstart", seed=int(sys.argv[2]), **small)
execute.run(recipe, Options(runs_dir=Path(sys.argv[1]), name="same", keep="model", test=True))
"""


def at_once(count: int, folder: Path) -> None:
    """Train ``count`` runs at the same time in one runs folder, and check each."""
    command = [sys.executable, "-c", ONE_OF_MANY, str(folder)]
    processes = [subprocess.Popen([*command, str(number)]) for number in range(count)]
    assert [process.wait() for process in processes] == [0] * count
    runs = [Run(path) for path in store.folders(folder)]
    assert sorted(run.record.seed for run in runs) == list(range(count))
    assert all(tidy.check(run.folder).problems == () for run in runs)
    assert ledger.count(folder, runs[0].record.data_ids)["openings"] == count


def test_trainings_at_once_do_not_mix(tmp_path: Path) -> None:
    at_once(2, tmp_path)


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
        first = resident()
print(resident() / first - 1)
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    growth = float(done.stdout.split()[-1])
    print(f"\nmemory after 500 trainings: {100 * growth:+.1f} %")
    assert growth < 0.05
