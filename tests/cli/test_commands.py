"""The command line: what it prints, where, and with which exit code."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mlplab.cli.app import app
from mlplab.cli.members import variants
from mlplab.cli.train import parse_seeds
from mlplab.errors import RecipeError
from mlplab.recipes import load
from mlplab.runs.run import Run

pytestmark = pytest.mark.usefixtures("without_pictures")

QUICK = ["training.epochs=2", "model.hidden=[16]", "callbacks.tensorboard=none"]


UNTESTED = "test set not evaluated: `mlplab evaluate {} --split test`, or train with --test"


def mlplab(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def runs_dir(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with a run that is called short."""
    folder = tmp_path_factory.mktemp("cli") / "runs"
    return Path(shutil.copytree(finished.folder.parent, folder))


def test_train_prints_accuracies_parameters_and_the_report(tmp_path: Path) -> None:
    done = mlplab("train", "quickstart", *QUICK, "--runs-dir", tmp_path, "--name", "a")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("a: finished after 2 epochs")
    table = next(i for i, line in enumerate(lines) if line.split()[:1] == ["accuracy"])
    assert [line.split()[0] for line in lines[table + 1 : table + 3]] == ["train", "validation"]
    assert lines[table + 3] == UNTESTED.format("a")
    assert "parameters  1,210" in lines
    assert lines[-1].split() == ["report", str(tmp_path / "a" / "report.html")]


def test_train_with_test_evaluates_and_counts_it_too(tmp_path: Path) -> None:
    done = mlplab("train", "quickstart", *QUICK, "--test", "--runs-dir", tmp_path, "--name", "a")
    lines = done.stdout.splitlines()
    assert any(line.split()[:1] == ["test"] and "%" in line for line in lines)
    assert "test set evaluated 1 time, for 1 configuration in this runs folder" in lines
    assert "--test" in json.loads((tmp_path / "a" / "record.json").read_text())["command"]
    assert not any(line.startswith("test set not evaluated") for line in lines)


def test_only_json_is_on_stdout_whatever_the_users_code_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import keras\nclass Talk(keras.callbacks.Callback):\n"
    code += "    def on_epoch_end(self, epoch, logs=None):\n        print('hello')\n"
    (tmp_path / "talking.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    done = mlplab(
        "train", "quickstart", *QUICK, "callbacks.t.name=talking:Talk", "--trust", "--json"
    )
    record = json.loads(done.stdout)
    assert (record["schema"], record["status"]) == (1, "finished")
    assert record["command"].startswith("mlplab train quickstart training.epochs=2")
    assert "hello" in done.stderr


def test_several_seeds_give_mean_and_spread(tmp_path: Path) -> None:
    done = mlplab("train", "quickstart", *QUICK, "--runs-dir", tmp_path, "--seeds", "3..4")
    assert "2 seeds" in done.stdout
    assert sorted(path.name[-3:] for path in tmp_path.iterdir() if path.is_dir()) == ["-s3", "-s4"]
    records = json.loads(mlplab("runs", "--runs-dir", tmp_path, "--json").stdout)
    assert {record["seed"] for record in records} == {3, 4}
    assert len({record["config_id"] for record in records}) == 1


def test_a_population_is_one_table_and_complete_runs(tmp_path: Path) -> None:
    rates = ["--population", "optimizer.learning_rate=1e-3,1e-2", "--population", "seed=3..4"]
    done = mlplab("train", "quickstart", *QUICK, *rates, "--runs-dir", tmp_path, "--name", "p")
    assert done.exit_code == 0, done.output
    names = ["p-lr0.001-s3", "p-lr0.001-s4", "p-lr0.01-s3", "p-lr0.01-s4"]
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[0] for row in rows if row[1:2] == ["finished"]] == names
    assert rows[0] == ["member", "status", "epochs", "best", "epoch", "validation", "test"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == names
    assert UNTESTED.format("MEMBER") in done.stdout
    assert all((tmp_path / name / "report.html").exists() for name in names)
    record = json.loads((tmp_path / "p-lr0.01-s4" / "record.json").read_text())
    assert record["command"].endswith("optimizer.learning_rate=0.01 --seed 4")


def test_a_population_as_json_is_a_list(tmp_path: Path) -> None:
    done = mlplab(
        "train", "quickstart", *QUICK, "--population", "seed=7", "--runs-dir", tmp_path, "--json"
    )
    (record,) = json.loads(done.stdout)
    assert record["population"] == {"members": 1, "mode": "vmap"}
    assert record["command"].endswith("callbacks.tensorboard=none --seed 7")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["model.dropout=0.1,0.2"], "only seed"),
        (["seed"], "write 0..9"),
        (["seed=4..2"], "write 0..9"),
        (["seed=1,2,1"], "1 is there twice"),
        (["seed=0..1000"], "at most 1,000"),
        (["seed=0..1", "seed=2"], "given twice"),
        (["optimizer.learning_rate="], "rates above 0"),
        (["optimizer.learning_rate=1e-3,-1"], "rates above 0"),
        (["optimizer.learning_rate=1e-3,nan"], "rates above 0"),
        (["optimizer.learning_rate=0.001,1e-3"], "0.001 is there twice"),
    ],
    ids=str,
)
def test_other_populations_are_refused(given: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        variants(load("quickstart"), given)


@pytest.mark.parametrize(
    ("text", "seeds"), [("0..2", [0, 1, 2]), ("5..5", [5]), ("3,1,3", [3, 1]), ("7", [7])]
)
def test_seeds_are_read(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "4..2", "1..", "0..99999999", "-1", "1;2"])
def test_other_seeds_are_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="write 0"):
        parse_seeds(text)


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "sede"],
        ["train", "published", "optimizer.name=adamm"],
        ["train", "published", "--seeds", "x"],
        ["train", "published", "--seed", "1", "--seeds", "0..1"],
        ["train", "published", "--seed", "1", "--population", "seed=0..1"],
        ["train", "published", "--population", "model.dropout=0.1,0.2"],
        ["train", "quickstart", "--name", "../up"],
        ["train", "missing.toml"],
        ["runs", "show", "nothing"],
        ["report", "nothing"],
        ["evaluate", "nothing"],
        ["predict", "nothing", "a.png"],
        ["recipes", "show", "nothing"],
        ["data", "info", "cifar11"],
        ["data", "info", "folder"],
        ["data", "info", "folder", "--path", "nowhere"],
        ["data", "fetch", "digits"],
        ["tensorboard", "--runs-dir", "nowhere"],
    ],
    ids=" ".join,
)
def test_what_the_user_can_mend_is_one_or_two_lines_and_exit_code_2(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = mlplab(*arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) <= 2
    assert list(tmp_path.iterdir()) == []


def test_missing_data_names_the_three_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("MLPLAB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("MLPLAB_DATA_DIR", raising=False)
    done = mlplab("train", "published", "--runs-dir", tmp_path / "runs")
    assert done.exit_code == 2
    for way in ("mlplab data fetch cifar10", "--data-dir", "quickstart"):
        assert way in done.stderr


def test_a_training_that_diverges_ends_with_exit_code_1(tmp_path: Path) -> None:
    done = mlplab(
        "train", "quickstart", *QUICK, "optimizer.name=sgd", "optimizer.learning_rate=1e30",
        "--runs-dir", tmp_path,
    )  # fmt: skip
    assert done.exit_code == 1
    assert "diverged" in done.stdout
    assert "learning rate" in done.stderr


def test_debug_shows_the_traceback() -> None:
    assert isinstance(mlplab("--debug", "train", "sede").exception, RecipeError)


def test_runs_are_listed_by_validation_and_shown_in_full(runs_dir: Path) -> None:
    assert "short" in mlplab("runs", "--runs-dir", runs_dir).stdout
    shown = mlplab("runs", "show", "short", "--runs-dir", runs_dir).stdout
    assert "val_accuracy" in shown
    assert "[callbacks.early_stopping]" in shown


def test_a_damaged_record_does_not_hide_the_other_runs(runs_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(runs_dir, tmp_path / "runs")
    bad = tmp_path / "runs" / "bad"
    bad.mkdir()
    (bad / "record.json").write_text("{")
    done = mlplab("runs", "--runs-dir", tmp_path / "runs")
    assert "short" in done.stdout
    assert "bad" in done.stderr


def test_evaluate_counts_an_opening_of_test(runs_dir: Path) -> None:
    before = json.loads(mlplab("runs", "show", "short", "--runs-dir", runs_dir, "--json").stdout)
    done = mlplab("evaluate", "short", "--split", "test", "--runs-dir", runs_dir, "--json")
    assert json.loads(done.stdout)["accuracy"] == before["metrics"]["test"]["accuracy"]
    after = json.loads(mlplab("runs", "show", "short", "--runs-dir", runs_dir, "--json").stdout)
    assert after["test_openings"] == before["test_openings"] + 1


def test_predict_names_what_it_cannot_read_and_classifies_the_rest(
    runs_dir: Path, tmp_path: Path
) -> None:
    from PIL import Image

    Image.new("L", (20, 30)).save(tmp_path / "a.png")
    done = mlplab(
        "predict", "short", tmp_path / "a.png", tmp_path / "b.png", "--runs-dir", runs_dir
    )
    assert done.exit_code == 2
    assert "a.png: " in done.stdout
    assert "%" in done.stdout
    assert "b.png" in done.stderr


def test_report_is_written_anew(runs_dir: Path) -> None:
    page = runs_dir / "short" / "report.html"
    page.unlink()
    assert mlplab("report", "short", "--runs-dir", runs_dir).stdout.strip() == str(page)
    assert page.exists()


def test_data_show_writes_the_picture_and_prints_its_path(tmp_path: Path) -> None:
    target = tmp_path / "digits.png"
    done = mlplab("data", "show", "digits", "--out", target)
    assert done.stdout.strip() == str(target)
    assert target.read_bytes().startswith(b"\x89PNG")


def test_data_show_shows_what_augmentation_does(tmp_path: Path) -> None:
    target = tmp_path / "augmented.png"
    settings = ("--augment", "shift=1", "--augment", "mixup=0.5")
    done = mlplab("data", "show", "digits", *settings, "--out", target)
    assert done.stdout.strip() == str(target)
    assert target.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("pair", "words"), [("shft=1", "did you mean 'shift'"), ("shift=8", "8 pixels: at most 7")]
)
def test_data_show_refuses_what_no_recipe_could_say(pair: str, words: str) -> None:
    done = mlplab("data", "show", "digits", "--augment", pair)
    assert done.exit_code == 2
    assert words in " ".join(done.stderr.split())


def test_data_info_counts_images() -> None:
    facts = json.loads(mlplab("data", "info", "digits", "--json").stdout)
    assert facts["splits"]["train"]["images"] + facts["splits"]["test"]["images"] == 1797


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["folder"], "the data set 'folder' needs --path"),
        (["digits", "--path", "x"], "--path is for the data set 'folder'"),
        (["digits", "--image-size", "0"], "--image-size = 0"),
    ],
)
def test_data_info_speaks_of_its_own_options(arguments: list[str], said: str) -> None:
    done = mlplab("data", "info", *arguments)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())
    assert "data." not in done.stderr


def test_the_old_name_of_a_recipe_still_works_with_a_note() -> None:
    done = mlplab("recipes", "show", "seed")
    assert done.stdout == mlplab("recipes", "show", "published").stdout
    assert "seed is now called published" in done.stderr


def test_recipes_are_listed_and_shown() -> None:
    assert "published-honest" in mlplab("recipes").stdout
    assert mlplab("recipes", "show", "published").stdout.startswith("# mlplab train published")


def test_answers_without_keras_and_with_few_modules(tmp_path: Path) -> None:
    code = """
import filelock, numpy, pydantic, rich, typer.rich_utils
import sys
needed = len(sys.modules)
from mlplab.cli import main
for arguments in (["--help"], ["recipes"], ["runs"], ["train", "--help"]):
    sys.argv = ["mlplab", *arguments]
    try: main()
    except SystemExit: pass
    assert not {"keras", "jax", "matplotlib", "scipy"} & set(sys.modules), arguments
    assert len(sys.modules) < 1.5 * needed, (arguments, len(sys.modules), needed)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_an_error_in_code_of_the_users_own_is_named_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import keras\nimport numpy as np\nclass Boom(keras.callbacks.Callback):\n"
    code += "    def on_epoch_end(self, epoch, logs=None):\n        np.zeros(3).reshape(2)\n"
    (tmp_path / "exploding.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    done = mlplab("train", "quickstart", *QUICK, "callbacks.b.name=exploding:Boom", "--trust")
    assert done.exit_code == 1
    assert "your own code, exploding.py, line 5" in " ".join(done.stderr.split())


def test_a_key_that_the_population_varies_is_not_overridden_as_well() -> None:
    with pytest.raises(RecipeError, match="drop one"):
        variants(load("quickstart", ["seed=3"]), ["seed=0..1"], ["seed=3"])


def test_a_tilde_in_a_path_is_the_home_folder(
    runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(runs_dir.parent))
    monkeypatch.setenv("USERPROFILE", str(runs_dir.parent))
    assert "short" in mlplab("runs", "--runs-dir", "~/runs").stdout
    shown = CliRunner().invoke(app, ["runs"], env={"MLPLAB_RUNS_DIR": "~/runs"})
    assert "short" in shown.stdout
    assert mlplab("runs", "show", "~/runs/short").exit_code == 0
    assert mlplab("data", "show", "digits", "--out", "~/digits.png").exit_code == 0
    assert (runs_dir.parent / "digits.png").is_file()
    unknown = mlplab("runs", "--runs-dir", "~nobody-of-that-name/runs")
    assert (unknown.exit_code, "no such home folder" in unknown.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_output_in_any_encoding_has_what_stands_for_characters_that_it_lacks(
    encoding: str, runs_dir: Path
) -> None:
    variables = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "mlplab", "data", "info", "digits"]
    done = subprocess.run(command, capture_output=True, env=variables, check=True)
    assert done.stdout.decode(encoding).startswith(
        "digits, images of 8x8x1" if encoding == "ascii" else "digits, images of 8×8×1"
    )


def test_where_output_is_redirected_each_epoch_is_a_line(tmp_path: Path) -> None:
    command = ["train", "quickstart", *QUICK, "--runs-dir", str(tmp_path)]
    lines = [line for line in mlplab(*command).stderr.splitlines() if line.startswith("epoch")]
    assert [line.split()[:3] for line in lines] == [["epoch", f"{n}/2", "loss"] for n in (1, 2)]
    assert "epoch" not in mlplab(*command, "--quiet").stderr


def test_an_interrupted_run_says_where_it_stopped_and_how_to_continue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "mlplab.cli.progress.NotesOnly.on_steps",
        lambda *given: os.kill(os.getpid(), signal.SIGINT),
    )
    command = ["train", "quickstart", *QUICK, "--name", "a", "--runs-dir", str(tmp_path), "--quiet"]
    done = mlplab(*command)
    assert done.exit_code == 130
    assert "a: interrupted in epoch 1, weights at the interruption" in done.stdout
    assert f"`mlplab resume {tmp_path / 'a'}` continues it" in done.stderr
