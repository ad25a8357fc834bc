"""What every test may use: a cache of the session's own, and the real CIFAR-10 where it is."""

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

# Most of the tests' time is compiling, of programs that run for an instant: XLA's optimiser takes
# longer than it saves, and its older emitters take a third of the time of those for fusions. Set
# before JAX is loaded; processes that tests start inherit it. `make torture` repeats the tests of
# equal bits with all of XLA's optimisations.
FAST = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
if "MLPLAB_TESTS_OPTIMISED" not in os.environ:
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {FAST}".strip()

# A core for each worker of pytest-xdist: otherwise XLA's threads of several wait for one another.
if (worker := os.environ.get("PYTEST_XDIST_WORKER")) and hasattr(os, "sched_setaffinity"):
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})

# A shell has what it starts in the background ignore Ctrl-C, which some tests are about.
signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ.setdefault("MLPLAB_NATIVE", "0")  # as most users have it; test_native.py switches it on

import mlplab  # noqa: E402  chooses the backend before any test imports Keras
from mlplab.runs.run import Run  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # the workers share one cache, so that one of them decodes
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLPLAB_CACHE_DIR", str(folder / "mlplab-cache"))
        yield


@pytest.fixture(scope="session")
def cifar10_dir() -> Path:
    """The folder that holds the real ``cifar10/``; tests that ask for it are skipped elsewhere."""
    folder = Path(os.environ.get("MLPLAB_DATA_DIR", ""))
    if not (folder / "cifar10").is_dir():
        pytest.skip("real CIFAR-10: set MLPLAB_DATA_DIR")
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with every file that there is, for all tests to read: copy it to change it."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with FileLock(folder / "finished.lock"):
        if not (folder / "finished").exists():
            recipe = mlplab.recipe(
                "quickstart", training={"epochs": 3}, model={"hidden": [32], "dropout": 0.2}
            )
            trained = mlplab.train(recipe, runs_dir=folder / "unfinished", name="short", test=True)
            trained.folder.parent.rename(folder / "finished")
    return mlplab.load_run("short", folder / "finished")


# Those that take longest, in this order.
LONG = (
    *("study/test_conduct.py", "models/test_families.py", "experiment/test_resume.py"),
    *("training/test_engine.py", "experiment/test_execute.py", "experiment/test_faults.py"),
    *("augment/test_augment.py", "training/test_population.py", "training/test_teacher.py"),
    *("models/test_pretrained.py", "cli/test_commands.py", "test_fuzz.py"),
    *(
        "test_notebooks.py",
        "drop_in/test_fit.py",
        "ui/test_browser.py",
        "study/test_cluster.py",
        "training/test_average.py",
        "training/test_devices.py",
    ),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long files, so that the workers of ``make test`` end together."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path, len(LONG)))


def pytest_collection_finish() -> None:
    """Leave what is loaded by now out of garbage collection, which each training asks for."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let runs draw no figures, which takes longer than to train them."""
    monkeypatch.setattr("mlplab.experiment.judge.draw", lambda *given: None)


@pytest.fixture(scope="module")
def short_measurements() -> Iterator[None]:
    """Shorten the timing of steps and products in tests that do not look at what was measured."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlplab.training.limit.BURST_SECONDS", 0.0)
        patch.setattr("mlplab.training.limit.STREAM", 2**16)
        patch.setattr("mlplab.training.profile.steps_in", lambda seconds: 1)
        yield
