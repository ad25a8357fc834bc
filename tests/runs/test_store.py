import json
import os
from pathlib import Path

import numpy as np
import pytest

from mlplab import files
from mlplab.errors import RunError, StorageError
from mlplab.runs import ledger, store
from mlplab.runs.record import Record


def record(name: str, **facts: object) -> Record:
    return Record(name=name, recipe="seed", config_id="c0ffee", seed=0, data_id="d", **facts)


def make(runs: Path, name: str, **facts: object) -> Path:
    folder = store.create(runs, name)
    store.write_record(folder, record(folder.name, **facts))
    return folder


def test_a_name_that_is_taken_gets_a_number(tmp_path: Path) -> None:
    assert [store.create(tmp_path, "a").name for _ in range(3)] == ["a", "a-2", "a-3"]


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "a/b", "../a", "a b", "ä", "a\n", "-x", "x" * 200),
        *("a\x1b[2J", "a\u202eb", "\u0430", "a\x00", "a\\b", "\uff0e\uff0e/a"),
    ],
)
def test_a_name_that_could_lead_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunError):
        store.create(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


def test_a_record_reads_back_equal(tmp_path: Path) -> None:
    folder = make(tmp_path, "a", metrics={"train": {"accuracy": 0.5}}, status="finished")
    assert store.read_record(folder).metrics == {"train": {"accuracy": 0.5}}
    assert json.loads((folder / "record.json").read_text())["schema"] == 1


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"schema": 1}', '{"schema": 2}'])
def test_a_damaged_record_is_named(tmp_path: Path, text: str) -> None:
    folder = make(tmp_path, "a")
    (folder / "record.json").write_text(text)
    with pytest.raises(RunError, match=r"record\.json"):
        store.read_record(folder)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write_text(path, "old")
    with pytest.raises(ZeroDivisionError), files.atomic(path) as file:
        file.write(b"new")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_reported_in_plain_words() -> None:
    with pytest.raises(StorageError, match="no space left"), files.storage("x"):
        Path("/dev/full").write_text("x")


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    files.append_line(path, {"epoch": 1})
    with path.open("a") as file:
        file.write('{"epoch": 2, "lo')
    assert files.read_lines(path) == [{"epoch": 1}]
    files.append_line(path, {"epoch": 3})
    assert files.read_lines(path) == [{"epoch": 1}, {"epoch": 3}]


def test_a_file_of_lines_that_no_run_writes_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "metrics.jsonl").open("wb") as file:
        file.truncate(files.LARGEST_LINES + 1)
    with pytest.raises(RunError, match="larger than"):
        files.read_lines(tmp_path / "metrics.jsonl")


def test_files_have_the_modes_that_the_user_wants(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        files.write_text(tmp_path / "file", "private")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_a_run_is_found_by_name_prefix_path_and_last(tmp_path: Path) -> None:
    first = make(tmp_path, "apple", started="2026-01-01T00:00:00")
    second = make(tmp_path, "apricot", started="2026-01-02T00:00:00")
    assert store.find(tmp_path, "apple") == first
    assert store.find(tmp_path, "apr") == second
    assert store.find(tmp_path, str(second)) == second
    assert store.find(tmp_path, "last") == second


@pytest.mark.parametrize(
    ("query", "words"), [("ap", "2 runs: apple, apricot"), ("pear", "no run"), ("", "no run")]
)
def test_a_name_that_fits_no_run_or_several_is_refused(
    tmp_path: Path, query: str, words: str
) -> None:
    make(tmp_path, "apple")
    make(tmp_path, "apricot")
    with pytest.raises(RunError, match=words):
        store.find(tmp_path, query)


def test_a_full_name_wins_over_a_longer_one_that_begins_with_it(tmp_path: Path) -> None:
    first = make(tmp_path, "b")
    make(tmp_path, "b")
    assert store.find(tmp_path, "b") == first


def test_the_ledger_counts_openings_and_configurations_of_one_data_set(tmp_path: Path) -> None:
    ledger.open_test(tmp_path, record("a"), 11)
    ledger.open_test(tmp_path, record("b").model_copy(update={"config_id": "other"}))
    ledger.open_test(tmp_path, record("c").model_copy(update={"data_id": "elsewhere"}))
    assert ledger.count(tmp_path, {"d"}) == {"openings": 12, "configurations": 2}


def test_predictions_read_back_and_damage_is_named(tmp_path: Path) -> None:
    probabilities = np.eye(3, dtype=np.float32)
    store.write_predictions(tmp_path, "test", probabilities, np.arange(3), np.arange(3))
    np.testing.assert_array_equal(
        store.read_predictions(tmp_path, "test")["probabilities"], probabilities
    )
    path = tmp_path / "predictions-test.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RunError, match="damaged"):
        store.read_predictions(tmp_path, "test")


def test_predictions_that_would_fill_the_memory_are_refused(tmp_path: Path) -> None:
    zeros = np.zeros((2**22, 10), np.float32)
    store.write_predictions(tmp_path, "test", zeros, np.zeros(1), np.zeros(1))
    with pytest.raises(RunError, match="unpacks to"):
        store.read_predictions(tmp_path, "test")


def test_a_split_that_does_not_exist_is_not_suggested(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no split is called 'tests'; did you mean 'test'"):
        store.read_predictions(tmp_path, "tests")


def test_text_becomes_the_start_of_a_name() -> None:
    assert store.name_from("my first study!", "study") == "my-first-study"
    assert store.name_from("small_", "study") == "small_"  # can be a name as it is
    assert store.name_from("…", "study") == "study"
    with pytest.raises(RunError, match="stands for the latest run"):
        store.check_name("last")
