"""The notebooks of the documentation, executed from their first cell to their last."""

from pathlib import Path

import nbclient
import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_is_kept_without_outputs(path: Path, tmp_path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    assert cells
    assert not any(cell.outputs or cell.execution_count for cell in cells)
    nbclient.NotebookClient(
        book, timeout=240, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    nbformat.write(book, tmp_path / path.name)
    said = [output for cell in cells for output in cell.outputs]
    assert not any(output.output_type == "error" for output in said)
    for output in said:  # nothing is displayed that is empty
        assert "></pre>" not in output.get("data", {}).get("text/html", "")
