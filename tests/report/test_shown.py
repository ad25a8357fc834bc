"""What runs and comparisons show in a notebook and in a terminal."""

import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

import mlplab
from mlplab.errors import RunError
from mlplab.report.curve_svg import curves
from mlplab.runs import tidy


def test_a_run_is_a_line_of_text() -> None:
    lost = mlplab.Run(Path("nowhere/a"))
    assert repr(lost).startswith("run in nowhere/a: ")


def test_a_run_shows_facts_curves_and_findings_without_scripts(finished: mlplab.Run) -> None:
    assert repr(finished).startswith("run 'short': finished, test ")
    assert "3 epochs" in repr(finished)
    shown = finished._repr_html_()
    assert "<svg" in shown
    assert "<script" not in shown
    for found in finished.record.findings:
        assert found.heading in shown
    assert "`" not in shown


def test_the_page_is_written_again_only_if_it_is_missing(
    finished: mlplab.Run, tmp_path: Path
) -> None:
    shutil.copytree(finished.folder, tmp_path / "a")
    run = mlplab.load_run("a", tmp_path)
    before = run.report().read_text()
    assert run.report().read_text() == before
    run.report().unlink()
    assert run.report().is_file()
    assert tidy.check(run.folder).problems == ()


def test_names_cannot_add_markup(finished: mlplab.Run) -> None:
    assert "<b>" not in curves({"<b>": finished.history, "b": finished.history})


def rows(*values: float | None) -> list[dict[str, float | None]]:
    return [{"epoch": epoch, "loss": value} for epoch, value in enumerate(values, 1)]


@pytest.mark.parametrize("values", [(), (1.0,), (1.0, 1.0), (2.0, float("nan"), None, 1e-9)])
def test_curves_of_any_length_are_drawn(values: tuple[float | None, ...]) -> None:
    picture = ElementTree.fromstring(curves({"a": rows(*values)}))
    assert picture.tag.endswith("svg")
    assert "nan" not in ElementTree.tostring(picture, "unicode")


def test_runs_are_compared_in_a_table_with_their_curves(
    finished: mlplab.Run, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        shutil.copytree(finished.folder, tmp_path / name)
    with pytest.raises(RunError, match="name two or more"):
        mlplab.compare("a", runs_dir=tmp_path)
    found = mlplab.compare(mlplab.load_run("a", tmp_path), "b", runs_dir=tmp_path)
    shown = found._repr_html_()
    assert shown.count("<tr>") == 3
    assert list(found.plot().rows) == ["a", "b"]
    assert str(found).startswith("| ")


def test_the_folder_of_runs_is_that_of_the_environment(
    finished: mlplab.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLPLAB_RUNS_DIR", str(finished.folder.parent))
    assert mlplab.load_run("short").folder == finished.folder
