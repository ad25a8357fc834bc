"""Sessions of whole runs, and what is written of races."""

from pathlib import Path
from typing import Any

from benchmarks.sessions import Measurement

from benchmarks import race, report, sessions, time_to_accuracy


def whole_run(seed: int, rate: float, seconds: float = 10.0, accuracy: float = 0.55) -> Any:
    return {
        "contestant": "mlplab train fast",
        "seed": seed,
        "training_seconds": seconds - 1,
        "trained_seconds": seconds,
        "command_seconds": seconds + 2,
        "test_accuracy": accuracy,
        "reference_gflops": [rate, 100.0],
    }


JOBS = [Measurement("mlplab train fast", seed, lambda folder, log: {}) for seed in range(3)]


def test_done_jobs_are_not_wanted_and_slowed_ones_once_more() -> None:
    result: dict[str, Any] = {
        "best_reference_gflops": 100.0,
        "runs": [whole_run(0, 99.0), whole_run(1, 80.0)],
    }
    wanted = [[sessions.wanted(job, result, attempt) for job in JOBS] for attempt in (0, 1)]
    assert wanted == [[False, False, True], [False, True, True]]
    result["runs"].append(whole_run(1, 80.0))
    assert not sessions.wanted(JOBS[1], result, 1)


def test_the_repetition_of_a_slowed_run_counts_in_its_place() -> None:
    runs = [whole_run(0, 80.0, seconds=20.0), whole_run(1, 99.0), whole_run(0, 99.0, seconds=9.0)]
    result: dict[str, Any] = {"best_reference_gflops": 100.0, "runs": runs}
    assert [run["trained_seconds"] for run in sessions.counted(result)] == [9.0, 10.0]
    assert sessions.conditions(result).startswith(
        "2 runs in turns, 0 of them on a slowed machine; 1"
    )


def facts() -> dict[str, Any]:
    device = {"name": "a machine", "threads": 2, "memory_gib": 8.0}
    versions = {"python": "3.11", "mlplab": "1"}
    return {"command": "python", "data": "CIFAR-10", "device": device, "versions": versions}


def test_a_time_counts_only_with_the_accuracy_and_the_seeds() -> None:
    baseline = [{"best_epoch_seconds": 90.0, "best_epoch_from_start_seconds": 95.0}]
    baseline[0]["fit_seconds"] = 120.0
    verdicts = ((0.545, 5, ""), (0.543, 5, "does not count"), (0.55, 4, "counts with 5 seeds"))
    for accuracy, seeds, words in verdicts:
        runs = [whole_run(seed, 99.0, accuracy=accuracy) for seed in range(seeds)]
        result = {**facts(), "question": "q", "best_reference_gflops": 100.0, "runs": runs}
        text = time_to_accuracy.table(result | {"baseline": baseline})
        assert ("count" in text.split("cold:")[1]) == bool(words)
        assert words in text
        assert "10.0 times the training" in text
        assert "9.5 times as long" in text


def test_a_race_is_a_table_and_a_picture(tmp_path: Path) -> None:
    limit = {"products_seconds": 0.01, "optimizer_seconds": 0.004, "optimizer_bytes": 2e8}
    row = {"versions": {}, "apart": "", "peak_memory_bytes": 1e9}
    result = {
        **facts(),
        "question": "seconds an epoch: a network",
        "ours": "mlplab",
        "rounds": 2,
        "repeated": 1,
        "slowed": 0,
        "contestants": {
            "mlplab": row | {"seconds": [2.0, 2.2]},
            "a peer": row
            | {"seconds": [4.0, 5.0], "apart": "it does less", "versions": {"p": "1"}},
            "the limit": row | {"seconds": [1.0, 1.0], "limit": limit},
        },
    }
    text = race.table(result)
    assert "| **mlplab** | 2.10 (2.00 to 2.20) | 1 | 1,000 |" in text
    assert "| a peer \\* | 4.50 (4.00 to 5.00) | 2.14 (2.00 to 2.27) | 1,000 |" in text
    assert "- a peer: p 1\n- \\* a peer: it does less\n" in text
    assert "takes 2.10 (2.00 to 2.20) times the limit" in text
    report.write(tmp_path, "race", result, text, race.picture(result))
    assert {path.name for path in tmp_path.iterdir()} == {"race.json", "race.md", "race.png"}
