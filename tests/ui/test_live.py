"""A run folder as events."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlplab.runs import layout
from mlplab.runs.run import Run
from mlplab.ui.live import Event, State, news


@pytest.fixture
def folder(finished: Run, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished.folder, tmp_path / "run"))


def watch(
    folder: Path, after: int = 0, expected: Callable[[], bool] = lambda: False
) -> Iterator[list[Event]]:
    """Yield what a page is told that looks at a folder whenever asked."""
    state = State(folder)
    events = news(state, after, expected)
    while True:
        state.refresh()
        try:
            yield next(events)
        except StopIteration:
            return


def append(folder: Path, name: str, **row: Any) -> None:
    with (folder / name).open("a") as file:
        file.write(json.dumps(row) + "\n")


def kinds(found: list[Event]) -> list[tuple[str, int | None]]:
    return [(event.kind, event.number) for event in found]


def test_a_page_gets_all_rows_and_then_each_new_one(folder: Path) -> None:
    events = watch(folder)
    assert kinds(next(events)) == [("row", 1), ("row", 2), ("row", 3), ("status", None)]
    assert next(events) == []
    append(folder, layout.LAYERS, epoch=4, layers=[])
    append(folder, layout.METRICS, epoch=4, loss=0.5)
    assert next(events) == [
        Event("layers", {"epoch": 4, "layers": []}),
        Event("row", {"epoch": 4, "loss": 0.5}, 4),
    ]


def test_a_page_that_comes_back_goes_on_where_it_was(folder: Path) -> None:
    append(folder, layout.LAYERS, epoch=2, layers=[])
    append(folder, layout.LAYERS, epoch=3, layers=[])
    assert kinds(next(watch(folder, 2))) == [("layers", None), ("row", 3), ("status", None)]


def test_a_half_written_row_waits_for_its_end(folder: Path) -> None:
    events = watch(folder)
    next(events)
    with (folder / layout.METRICS).open("a") as file:
        file.write('{"epoch": 4, "lo')
        file.flush()
        assert next(events) == []
        file.write('ss": 1.5}\n')
    assert next(events) == [Event("row", {"epoch": 4, "loss": 1.5}, 4)]


def test_damaged_lines_are_left_out(folder: Path) -> None:
    events = watch(folder)
    next(events)
    wrong: list[Any] = ["x", None, {}]
    for epoch in wrong:
        append(folder, layout.METRICS, epoch=epoch)
        append(folder, layout.LAYERS, epoch=epoch, layers=[])
    append(folder, layout.LAYERS, epoch=4)
    append(folder, layout.LAYERS, epoch=4, layers=[1])
    append(folder, layout.METRICS, epoch=4)
    assert next(events) == [Event("row", {"epoch": 4}, 4)]


def test_a_page_is_told_that_a_record_is_damaged(folder: Path) -> None:
    (folder / layout.RECORD).write_text("{torn")
    told = next(watch(folder))[-1]
    assert told.kind == "status"
    assert told.data["status"] == "damaged"
    assert layout.RECORD in told.data["reason"]


def test_rows_that_a_resumed_run_took_back_are_gone(folder: Path) -> None:
    events = watch(folder)
    next(events)
    first = (folder / layout.METRICS).read_text().splitlines()[0]
    aside = folder / "aside"
    aside.write_text(first + "\n")
    aside.replace(folder / layout.METRICS)
    assert next(events) == [Event("gone", {"rows": 1}, 1)]
    append(folder, layout.METRICS, epoch=2, loss=0.25)
    assert next(events) == [Event("row", {"epoch": 2, "loss": 0.25}, 2)]


def test_progress_is_told_when_it_changes(folder: Path) -> None:
    events = watch(folder)
    next(events)
    (folder / layout.PROGRESS).write_text('{"epoch": 1}')
    assert next(events) == [Event("progress", {"epoch": 1})]
    assert next(events) == []
    (folder / layout.PROGRESS).unlink()
    assert next(events) == []


def test_a_run_that_is_still_to_come_is_waited_for(folder: Path) -> None:
    aside = folder.rename(folder.with_name("aside"))
    waiting = [True, True]
    events = watch(folder, 0, lambda: bool(waiting and waiting.pop()))
    assert next(events) == []
    aside.rename(folder)
    assert len(next(events)) == 4
    assert next(watch(folder.with_name("other"))) == [Event("gone", {"run": True})]


def test_a_run_that_is_deleted_ends_its_events(folder: Path) -> None:
    events: Iterator[list[Event]] = watch(folder)
    next(events)
    shutil.rmtree(folder)
    assert next(events) == [Event("gone", {"run": True})]
    assert list(events) == []


def test_pages_share_what_is_read_of_a_run(folder: Path) -> None:
    state = State(folder)
    state.refresh()
    one, other = news(state), news(state, 2)
    assert len(next(one)) == 4
    append(folder, layout.METRICS, epoch=4, loss=0.5)
    state.refresh()
    assert kinds(next(one)) == [("row", 4)]
    assert kinds(next(other)) == [("row", 3), ("row", 4), ("status", None)]
    assert next(one) == next(other) == []
