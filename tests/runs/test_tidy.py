"""Run folders locked, checked and removed."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import keras
import pytest
from typer.testing import CliRunner

from mlplab.cli.app import app
from mlplab.errors import RunError
from mlplab.runs import layout, lock, store, tidy
from mlplab.runs.run import Run


@pytest.fixture
def runs(finished: Run, tmp_path: Path) -> Path:
    """A runs folder with a run that is called short."""
    return Path(shutil.copytree(finished.folder.parent, tmp_path / "runs"))


def command(*words: str | Path, input: str | None = None) -> Any:
    return CliRunner().invoke(app, ["runs", *map(str, words)], input=input)


def test_a_run_whose_files_are_as_recorded_is_whole(runs: Path) -> None:
    found = tidy.check(runs / "short")
    assert found.problems == ()
    assert found.files > 10
    assert command("check", "--runs-dir", runs).exit_code == 0


def test_every_damage_is_named(runs: Path) -> None:
    folder = runs / "short"
    (folder / "metrics.jsonl").write_text("{}\n")
    (folder / "model.keras").unlink()
    (folder / "report.html").unlink()
    (folder / "report.html").symlink_to("/etc/hostname")
    assert set(tidy.check(folder).problems) == {
        "metrics.jsonl: damaged or changed",
        "model.keras: missing",
        "report.html: a link, which mlplab does not make",
    }
    done = command("check", "short", "--runs-dir", runs)
    assert done.exit_code == 1
    assert "short: model.keras: missing" in done.stdout


def test_a_record_that_names_files_elsewhere_does_not_have_them_read(runs: Path) -> None:
    path = runs / "short" / "record.json"
    tables = json.loads(path.read_text())
    path.write_text(json.dumps({**tables, "files": {"../../secret": "sha256:0"}}))
    assert tidy.check(runs / "short").problems[1:] == ("../../secret: outside the run folder",)


def test_a_damaged_record_is_a_problem_and_no_crash(runs: Path) -> None:
    (runs / "short" / "record.json").write_text("{")
    assert "damaged" in tidy.check(runs / "short").problems[0]


def test_rm_asks_first(runs: Path) -> None:
    assert "nothing was removed" in command("rm", "short", "--runs-dir", runs, input="n\n").stdout
    assert (runs / "short").is_dir()
    assert command("rm", "short", "--runs-dir", runs, input="y\n").exit_code == 0
    assert not (runs / "short").exists()


def test_links_are_not_followed(runs: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")
    (runs / "short" / "link").symlink_to(precious)
    (runs / "b").symlink_to(runs / "short")
    with pytest.raises(RunError, match="is not directly in"):
        tidy.removable(runs, ["b"])
    with pytest.raises(RunError, match="is not directly in"):
        tidy.removable(runs / "elsewhere", [str(runs / "short")])
    for path in tidy.removable(runs, ["short"]):
        tidy.remove(path)
    assert (precious / "file").read_text() == "kept"


def test_a_run_that_is_being_written_is_left_alone(runs: Path) -> None:
    with lock.writing(runs / "short"):
        with pytest.raises(RunError, match=f"written by process {os.getpid()} on "):
            tidy.removable(runs, ["short"])
        with pytest.raises(RunError, match="wait for it"), lock.writing(runs / "short"):
            pass
        assert tidy.rubbish(runs) == []
    assert not (runs / "short" / layout.OWNER).exists()


def test_gc_finds_what_killed_processes_left(runs: Path) -> None:
    torn = runs / "short" / f".record.json.{'0' * 16}"
    torn.write_text("half")
    (runs / "short" / "checkpoint").mkdir()
    (runs / "short" / layout.CHECKPOINT).write_text("x")
    (runs / "begun").mkdir()
    (runs / "begun" / "recipe.toml").write_text("")
    (runs / "of-somebody").mkdir()
    (runs / "of-somebody" / "thesis.txt").write_text("kept")
    assert set(tidy.rubbish(runs)) == {torn, runs / "short" / "checkpoint", runs / "begun"}
    assert command("gc", "--runs-dir", runs, "--yes").exit_code == 0
    assert tidy.rubbish(runs) == []
    assert [path.name for path in (runs / "of-somebody").iterdir()] == ["thesis.txt"]
    assert tidy.check(runs / "short").problems == ()


def test_a_run_whose_owner_is_dead_is_shown_as_interrupted(runs: Path) -> None:
    path = runs / "short" / "record.json"
    tables = json.loads(path.read_text())
    path.write_text(json.dumps({**tables, "status": "running"}))
    assert store.read_record(runs / "short").status == "interrupted"
    with lock.writing(runs / "short"):
        assert store.read_record(runs / "short").status == "running"
    assert "interrupted" in command("--runs-dir", runs).stdout


def test_a_changed_record_is_noticed(runs: Path) -> None:
    path = runs / "short" / "record.json"
    tables = json.loads(path.read_text())
    tables["metrics"]["validation"]["accuracy"] = 0.99
    path.write_text(json.dumps(tables))
    assert tidy.check(runs / "short").problems == ("record.json: damaged or changed",)
    done = CliRunner().invoke(app, ["report", "short", "--runs-dir", str(runs)])
    assert done.exit_code == 2
    assert "is not as mlplab wrote it" in done.stderr


def test_a_report_written_anew_does_not_make_damaged_files_pass_for_whole(runs: Path) -> None:
    (runs / "short" / "metrics.jsonl").write_text('[]\n{"epoch": NaN, "loss": 1e999}\nnull\n')
    (runs / "short" / "report.html").unlink()
    done = CliRunner().invoke(app, ["report", "short", "--runs-dir", str(runs)])
    assert done.exit_code == 0
    assert "metrics.jsonl: damaged or changed" in done.stderr
    assert tidy.check(runs / "short").problems == ("metrics.jsonl: damaged or changed",)
    assert "metrics.jsonl: damaged or changed" in (runs / "short" / "report.html").read_text()


def test_rm_takes_whole_names_alone(runs: Path) -> None:
    (runs / "short").rename(runs / "shorter")
    with pytest.raises(RunError, match="give its whole name"):
        tidy.removable(runs, ["short"])


def test_a_run_that_has_lost_its_record_is_noticed(runs: Path) -> None:
    (runs / "short" / "record.json").unlink()
    done = command("check", "--runs-dir", runs)
    assert done.exit_code == 1
    assert "short: record.json: missing" in done.stdout


def test_another_network_does_not_pass_for_the_run_s(runs: Path) -> None:
    layers = [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")]
    keras.Sequential(layers).save(runs / "short" / "model.keras")
    before = (runs / "ledger.jsonl").read_text()
    for words in (["evaluate", "short", "--split", "test"], ["predict", "short", "x.png"]):
        done = CliRunner().invoke(app, [*words, "--runs-dir", str(runs)])
        assert done.exit_code == 2
        assert "model.keras is not the file that was recorded" in done.stderr
    assert (runs / "ledger.jsonl").read_text() == before


def test_files_that_no_record_names_are_mentioned(runs: Path) -> None:
    (runs / "short" / "notes.txt").write_text("of my own")
    assert tidy.check(runs / "short").unknown == ("notes.txt",)
    done = command("check", "--runs-dir", runs)
    assert done.exit_code == 0
    assert "not in its record: notes.txt" in done.stderr
    assert "1 run, " in done.stdout


def test_nothing_is_written_through_a_link(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    (runs / "short" / "figures" / "curves.png").unlink()
    (runs / "short" / "figures" / "curves.png").symlink_to(tmp_path / "precious")
    with pytest.raises(RunError, match="is a link"), lock.writing(runs / "short"):
        pass
