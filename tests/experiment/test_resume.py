"""An interrupted and resumed run equals the run that nothing interrupted, to the bit."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.experiment.resumable import Stop, Whole, interrupted, recipe, victim
from tests.helpers import train

import mlplab
from mlplab import files
from mlplab.errors import RunError
from mlplab.experiment import interrupt, resume
from mlplab.experiment.options import Options
from mlplab.runs import checkpoint, layout, store, tidy
from mlplab.runs.run import Run
from mlplab.training.plan import NoProgress

Same = Callable[[Run, Run], None]


@pytest.mark.parametrize(
    ("name", "epoch", "share"),
    [
        pytest.param("everything", 1, 0.0, marks=pytest.mark.torture),
        ("everything", 5, 0.6),
        ("schedule", 3, 1.0),
        pytest.param("schedule-free", 3, 0.4, marks=pytest.mark.torture),
    ],
)
def test_a_run_stopped_within_an_epoch_ends_as_if_it_had_not_been(
    name: str, epoch: int, share: float, whole: Whole, same: Same, tmp_path: Path
) -> None:
    interrupted(name, tmp_path, epoch, share)
    resumed = mlplab.resume("run", runs_dir=tmp_path)
    assert resumed.record.status == "finished"
    assert resumed.record.resumed == 1
    assert not (resumed.folder / "checkpoint").exists()
    same(resumed, whole[name])


def test_a_run_without_a_checkpoint_starts_from_the_beginning(
    whole: Whole, same: Same, tmp_path: Path
) -> None:
    interrupted("schedule", tmp_path, 3, 0.5, seconds=1e6)
    assert not (tmp_path / "run" / "checkpoint").exists()
    same(mlplab.resume("run", runs_dir=tmp_path), whole["schedule"])


def test_ctrl_c_keeps_its_place_within_the_epoch(whole: Whole, same: Same, tmp_path: Path) -> None:
    class Press(NoProgress):
        def on_steps(self, epoch: int, done: int, total: int, logs: dict[str, float]) -> None:
            if epoch == 3:
                os.kill(os.getpid(), signal.SIGINT)

    pressed = train(recipe("everything"), tmp_path, "run", Press(), checkpoint_seconds=1e6)
    assert pressed.record.status == "interrupted"
    saved = checkpoint.read(tmp_path / "run" / layout.CHECKPOINT)
    assert (saved.training.epoch, saved.training.done > 0) == (2, True)
    same(mlplab.resume("run", runs_dir=tmp_path), whole["everything"])


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(number, marks=pytest.mark.torture if place else [])
        for place, number in enumerate(interrupt.ENDING)
    ],
)
def test_a_signal_to_end_writes_a_checkpoint_and_ends_the_process_after_the_record(
    number: signal.Signals, whole: Whole, same: Same, tmp_path: Path
) -> None:
    class Twice(NoProgress):
        def on_steps(self, epoch: int, done: int, total: int, logs: dict[str, float]) -> None:
            if epoch == 3:
                os.kill(os.getpid(), number)
                os.kill(os.getpid(), number)  # as a terminal and its shell do

    before = signal.signal(number, signal.SIG_DFL)  # which a terminal may have changed
    try:
        with pytest.raises(SystemExit) as ended:
            mlplab.train(
                recipe("everything"), runs_dir=tmp_path, name="run", progress=Twice(), test=True
            )
        assert ended.value.code == 128 + number
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)
    record = store.read_record(tmp_path / "run")
    assert (record.status, record.reason) == ("interrupted", f"stopped by {number.name}")
    saved = checkpoint.read(tmp_path / "run" / layout.CHECKPOINT)
    assert (saved.training.epoch, saved.training.done > 0) == (2, True)
    same(mlplab.resume("run", runs_dir=tmp_path), whole["everything"])


def test_signals_that_are_ignored_or_handled_by_the_program_stay_so() -> None:
    handlers: tuple[Any, ...] = (signal.SIG_IGN, lambda *_: None)
    for number, handler in zip(interrupt.ENDING, handlers, strict=False):
        before = signal.signal(number, handler)
        with interrupt.ending_later():
            assert signal.getsignal(number) is handler
        assert signal.signal(number, before) is handler


def test_a_running_process_is_waited_for_and_a_killed_one_resumed(
    whole: Whole, same: Same, tmp_path: Path
) -> None:
    recipe_file = whole["schedule-free"].folder / layout.RECIPE
    with victim(recipe_file, tmp_path, signal.SIGSTOP, layout.METRICS, 3) as process:
        os.waitpid(process.pid, os.WUNTRACED)  # returns when it has stopped
        assert store.read_record(tmp_path / "run").status == "running"
        with pytest.raises(RunError, match=f"process {process.pid}"):
            mlplab.resume("run", runs_dir=tmp_path)
        process.kill()
    record = store.read_record(tmp_path / "run")
    assert record.status == "interrupted"
    assert "mlplab resume" in (record.reason or "")
    resumed = mlplab.resume("run", runs_dir=tmp_path)
    same(resumed, whole["schedule-free"])
    seconds = resumed.record.seconds
    assert seconds.total >= seconds.train  # of all processes


@pytest.fixture(scope="module")
def stopped_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return interrupted("schedule", tmp_path_factory.mktemp("stopped"), 3, 0.5)


@pytest.fixture
def stopped(stopped_once: Path, tmp_path: Path) -> Path:
    """A run that was stopped within an epoch, to be resumed or damaged."""
    return Path(shutil.copytree(stopped_once, tmp_path / "run"))


def test_the_unfinished_run_of_a_recipe_is_found_until_it_is_resumed(
    stopped: Path, whole: Whole, same: Same
) -> None:
    options = Options(runs_dir=stopped.parent)
    assert resume.unfinished(mlplab.recipe("quickstart", seed=1), options) is None
    found = resume.unfinished(recipe("schedule"), options)
    assert found is not None
    same(resume.resume(found, options), whole["schedule"])
    assert resume.unfinished(recipe("schedule"), options) is None


def test_a_run_from_when_test_was_called_open_test_keeps_it_closed(tmp_path: Path) -> None:
    named = mlplab.recipe("quickstart", evaluation={"splits": ["validation", "test"]})
    with pytest.raises(RuntimeError):
        train(named, tmp_path, "run", Stop(1, 0.0), checkpoint_seconds=1e6)
    record = store.read_record(tmp_path / "run")
    store.write_record(
        tmp_path / "run", record.model_copy(update={"options": {"open_test": False}})
    )
    assert set(mlplab.resume("run", runs_dir=tmp_path).metrics) == {"validation"}


def test_a_run_that_is_resumed_with_another_wish_for_test_follows_that(stopped: Path) -> None:
    resume.resume(Run(stopped), Options(test=False))
    assert set(Run(stopped).metrics) == {"train", "validation"}


def test_a_changed_recipe_is_refused_by_the_name_of_its_key(stopped: Path) -> None:
    path = stopped / "recipe.toml"
    path.write_text(path.read_text().replace("epochs = 5", "epochs = 6"))
    with pytest.raises(RunError, match=r"has changed since it was started: training\.epochs"):
        mlplab.resume("run", runs_dir=stopped.parent)


def test_another_version_is_refused_by_its_name(stopped: Path) -> None:
    path = stopped / layout.CHECKPOINT
    saved = checkpoint.read_archive(path)
    saved["run"]["versions"]["jax"] = "0.1.2"
    checkpoint.write_archive(path, saved)
    with pytest.raises(RunError, match=r"started with jax 0\.1\.2 \(now "):
        mlplab.resume("run", runs_dir=stopped.parent)


def test_another_data_set_is_refused(stopped: Path) -> None:
    record = store.read_record(stopped)
    store.write_record(stopped, record.model_copy(update={"data_id": "sha256:other"}))
    with pytest.raises(RunError, match="its content differs"):
        mlplab.resume("run", runs_dir=stopped.parent)


def test_a_damaged_checkpoint_is_named_and_not_read(stopped: Path) -> None:
    path = stopped / layout.CHECKPOINT
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(
        RunError, match=r"checkpoint .* is damaged.*; remove it, and `mlplab resume`"
    ):
        mlplab.resume("run", runs_dir=stopped.parent)
    assert "is damaged" in tidy.check(stopped).problems[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda saved: saved["training"].pop("rows"), "training.rows is wrong"),
        (lambda saved: saved["run"].update(seconds="long"), "run.seconds is wrong"),
        (lambda saved: saved["training"].update(epoch=-1), "training.epoch is wrong"),
        (lambda saved: saved["training"]["state"][0].pop(), "does not fit this network"),
        (lambda saved: saved["training"].update(done=10**12), "beyond the end of the training"),
        (lambda saved: saved["training"]["callbacks"].append({}), "other callbacks"),
        (lambda saved: saved["training"].update(rate="fast"), "training.rate is wrong"),
        (lambda saved: saved["training"].update(epoch=7), "training is wrong"),
        (lambda saved: saved["run"]["sizes"].update({"a\0": 1}), "outside the run folder"),
    ],
)
def test_a_checkpoint_of_other_parts_is_refused(
    change: Callable[[dict[str, Any]], Any], words: str, stopped: Path
) -> None:
    tampered(stopped, change)
    with pytest.raises(RunError, match=words):
        mlplab.resume("run", runs_dir=stopped.parent)


def test_last_is_the_last_that_can_be_resumed(stopped: Path, whole: Whole) -> None:
    shutil.copytree(whole["schedule"].folder, stopped.parent / "later")
    record = store.read_record(stopped.parent / "later")
    store.write_record(stopped.parent / "later", record.model_copy(update={"started": "9999"}))
    assert store.find(stopped.parent, "last").name == "later"
    assert store.find(stopped.parent, "last", unfinished=True) == stopped
    shutil.rmtree(stopped)
    with pytest.raises(RunError, match=r"every run in .* has ended"):
        store.find(stopped.parent, "last", unfinished=True)


def test_a_finished_run_cannot_be_resumed(whole: Whole) -> None:
    run = whole["schedule"]
    with pytest.raises(RunError, match="has finished"):
        mlplab.resume(run.name, runs_dir=run.folder.parent)


def test_a_checkpoint_that_cannot_be_verified_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.npz"
    checkpoint.write_archive(path, {"n": 1})

    def torn(written: Path) -> None:
        written.write_bytes(written.read_bytes()[:-40])
        checkpoint.verify(written)

    with pytest.raises(Exception, match=r".+"), files.atomic(path, check=torn) as file:
        np.savez(file, facts=np.zeros(100))
    assert checkpoint.read_archive(path) == {"n": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["c.npz"]


def test_values_of_a_checkpoint_come_back_as_they_were(tmp_path: Path) -> None:
    value: dict[str, Any] = {
        "numbers": [1, 2.5, float("inf"), True, None],
        "words": {"deep": {"er": "ü"}},
        "arrays": [
            np.arange(6, dtype=np.uint32).reshape(2, 3),
            np.array([np.pi, np.nan], np.float32),
        ],
    }
    checkpoint.write_archive(tmp_path / "c.npz", value)
    again = checkpoint.read_archive(tmp_path / "c.npz")
    assert again["numbers"] == value["numbers"]
    assert again["words"] == value["words"]
    for mine, theirs in zip(again["arrays"], value["arrays"], strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)


def test_a_resumed_run_can_be_interrupted_again(whole: Whole, same: Same, tmp_path: Path) -> None:
    folder = interrupted("everything", tmp_path, 2, 0.5)
    for epoch in (3, 4):
        with pytest.raises(RuntimeError):
            resume.resume(Run(folder), Options(), Stop(epoch, 0.3))
    done = mlplab.resume("run", runs_dir=tmp_path)
    assert done.record.resumed == 3
    same(done, whole["everything"])


def test_a_copied_run_can_be_resumed_elsewhere(stopped: Path, whole: Whole, same: Same) -> None:
    other = stopped.parent / "elsewhere"
    shutil.copytree(stopped, other / "run")
    same(mlplab.resume("run", runs_dir=other), whole["schedule"])


def tampered(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = run / layout.CHECKPOINT
    saved = checkpoint.read_archive(path)
    change(saved)
    checkpoint.write_archive(path, saved)


def test_a_checkpoint_of_others_shortens_no_file_elsewhere(stopped: Path, tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("not the run's")

    def change(saved: dict[str, Any]) -> None:
        saved["run"]["sizes"] = {"../letter": 0}

    tampered(stopped, change)
    with pytest.raises(RunError, match="outside the run folder"):
        mlplab.resume("run", runs_dir=tmp_path)
    assert (tmp_path / "letter").read_text() == "not the run's"


def test_a_link_in_a_run_of_others_is_not_followed(stopped: Path, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "one").write_text("not the run's")
    (stopped / "tensorboard").symlink_to(tmp_path / "letters")
    with pytest.raises(RunError, match="is a link"):
        mlplab.resume("run", runs_dir=tmp_path)
    assert (tmp_path / "letters" / "one").exists()


def test_a_checkpoint_of_others_does_not_say_where_callbacks_write(tmp_path: Path) -> None:
    run = interrupted("everything", tmp_path, 3, 0.5)

    def change(saved: dict[str, Any]) -> None:
        for state in saved["training"]["callbacks"]:
            state["__dict__"] = {"filename": str(tmp_path / "elsewhere")}
            state["filename"] = state["filepath"] = str(tmp_path / "elsewhere")

    tampered(run, change)
    mlplab.resume("run", runs_dir=tmp_path)
    assert not (tmp_path / "elsewhere").exists()
    assert (run / "log.csv").exists()
