"""What several tests of runs need."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.experiment.resumable import Whole

from mlplab.experiment.networks import load_network
from mlplab.runs.run import Run


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Runs by the names of their recipes, that nothing interrupted."""
    return Whole(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="session")
def same() -> Callable[[Run, Run], None]:
    """A function that compares all that a training decides, to the bit."""

    def rows(run: Run) -> list[dict[str, Any]]:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in run.history]

    def compare(one: Run, other: Run) -> None:
        assert rows(one) == rows(other)
        assert one.metrics == other.metrics
        assert one.record.best_epoch == other.record.best_epoch
        assert one.record.test_openings == other.record.test_openings
        for split in one.metrics:
            mine, theirs = one.predictions(split), other.predictions(split)
            assert mine["probabilities"].tobytes() == theirs["probabilities"].tobytes()
        weights = (load_network(run).get_weights() for run in (one, other))
        for mine, theirs in zip(*weights, strict=True):
            assert mine.tobytes() == theirs.tobytes()
        for path in one.folder.glob("*.csv"):
            assert path.read_text() == (other.folder / path.name).read_text()

    return compare
