"""Learning-rate range tests of digits."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mlplab import recipe
from mlplab.cli.app import app
from mlplab.experiment import lr_finder
from mlplab.experiment.options import Options
from mlplab.training.plan import NoProgress
from mlplab.training.rate_finder import RangeTest, smoothed, suggested

RATES = np.geomspace(1e-6, 10, 100)


def curve(lowest: int) -> np.ndarray:
    """A loss that falls to a step and rises after it."""
    steps = np.arange(100)
    return 1 + ((steps - lowest) / 100) ** 2


def test_the_suggestion_is_half_of_the_rate_of_the_lowest_loss() -> None:
    found = suggested(RATES, curve(60))
    assert found is not None
    assert RATES[57] / 2 < found < RATES[63] / 2


@pytest.mark.parametrize("losses", [np.linspace(1, 2, 100), curve(60)[:10]])
def test_a_loss_that_does_not_fall_or_a_short_test_suggests_nothing(losses: np.ndarray) -> None:
    assert suggested(RATES[: len(losses)], losses) is None


def test_a_range_that_ends_while_the_loss_falls_is_recognised() -> None:
    rates = np.geomspace(1e-6, 1e-5, 40)
    falling, risen = np.linspace(2.3, 2.2, 40), np.linspace(2.3, 1, 40)
    risen[30:] = 5
    found = [RangeTest(rates, each, smoothed(each), None) for each in (falling, risen)]
    assert [each.still_falling for each in found] == [True, False]


def test_smoothing_has_no_bias_at_its_beginning() -> None:
    np.testing.assert_allclose(smoothed([2.0] * 30), 2.0)


@pytest.mark.parametrize(("optimizer", "low", "high"), [("sgd", 0.02, 2.0), ("adam", 5e-4, 0.05)])
def test_a_real_test_ends_where_the_loss_explodes_and_suggests_a_rate_that_learns(
    optimizer: str, low: float, high: float, tmp_path: Path
) -> None:
    chosen = recipe("quickstart", optimizer={"name": optimizer}, model={"hidden": [32]})
    found = lr_finder.find(chosen, Options(), NoProgress(), 1e-6, 100.0, 200)
    assert len(found.rates) == len(found.losses) <= 200
    assert found.rates[0] == pytest.approx(1e-6)
    assert np.diff(np.log(found.rates)) == pytest.approx(math.log(1e8) / 199)
    assert found.suggestion is not None
    assert low < found.suggestion < high
    again = lr_finder.find(chosen, Options(), NoProgress(), 1e-6, 100.0, 200)
    np.testing.assert_array_equal(found.losses, again.losses)


def test_the_command_draws_and_suggests(tmp_path: Path) -> None:
    picture = tmp_path / "rates.png"
    words = ["lr-find", "quickstart", "--steps", "60", "--picture", str(picture), "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["suggestion"] > 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    done = CliRunner().invoke(app, ["lr-find", "quickstart", "--low", "1", "--high", "0.1"])
    assert done.exit_code == 2
    assert "not below" in done.stderr
