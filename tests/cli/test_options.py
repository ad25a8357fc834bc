"""Options that do not exist, and names that cannot be used: what to write in their place."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from mlplab.cli.app import app


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "quickstart", "--epochs", "6"], "dashes: training.epochs=6"),
        (["train", "quickstart", "--lr=0.1", "--quiet"], "dashes: optimizer.learning_rate=0.1"),
        (["lr-find", "quickstart", "--batch-size", "32"], "dashes: training.batch_size=32"),
        (["train", "quickstart", "--optimizer", "--quiet"], "dashes: optimizer.name=VALUE"),
        (["study", "optimizers", "--epochs", "6"], "dashes: recipe.training.epochs=6"),
        (["train", "quickstart", "--name", "last"], "'last' stands for the latest run"),
    ],
    ids=" ".join,
)
def test_what_is_meant_is_said(words: list[str], said: str) -> None:
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())


@pytest.mark.parametrize("words", [["train", "quickstart", "--foo"], ["runs", "--epochs", "3"]])
def test_an_option_that_is_no_key_is_refused_as_ever(words: list[str]) -> None:
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert "No such option" in done.stderr


def test_a_studys_file_may_have_spaces_in_its_name(tmp_path: Path) -> None:
    path = tmp_path / "my first study.toml"
    path.write_text('base = "quickstart"\n[design]\ntrials = 0\n')
    done = CliRunner().invoke(app, ["study", str(path)])
    assert "design.trials = 0" in done.stderr  # its content is what is looked at
