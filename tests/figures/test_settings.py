"""The user's own Matplotlib settings, and names in any script."""

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest

from mlplab import figures
from mlplab.figures.names import distinct

CORN = ["Corn_(maize)___Common_rust", "Corn_(maize)___Leaf_blight", "Corn_(maize)___healthy"]


def test_settings_of_the_process_neither_change_a_figure_nor_are_changed() -> None:
    matrix = np.eye(2, dtype=int)
    expected = figures.png(figures.confusion_matrix(matrix, ["a", "b"]))
    users: Any = {"text.usetex": True, "axes.facecolor": "red", "savefig.dpi": 30}
    with matplotlib.rc_context(users):
        before = dict(matplotlib.rcParams)
        drawn = figures.png(figures.confusion_matrix(matrix, ["a", "b"]))
        assert dict(matplotlib.rcParams) == before
    assert drawn == expected


def test_a_backend_that_is_not_installed_stops_nothing() -> None:
    code = "import mlplab, keras, os, mlplab.figures; print(os.environ['MPLBACKEND'])"
    environment = os.environ | {"MPLBACKEND": "module://not_installed"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.stdout.strip() == "module://not_installed", done.stderr


@pytest.mark.parametrize(
    "names", [CORN, ["x" * 40 + "1", "x" * 40 + "2"], ["a  b", "a b"]], ids=["corn", "end", "space"]
)
def test_names_that_share_their_beginning_stay_distinct(names: list[str]) -> None:
    shown = distinct(names, 14)
    assert len(set(shown)) == len(names)
    assert max(map(len, shown)) <= 14


def test_names_in_any_script_are_drawn_without_warnings(tmp_path: Path) -> None:
    names = ["\u732b", "\u0643\u0644\u0628", "\U0001f436", "chat"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures.save(figures.confusion_matrix(np.eye(4, dtype=int), names), tmp_path / "a.png")


def test_a_name_that_no_font_has_is_its_number() -> None:
    assert distinct(["cat", "\U0003fffd"]) == ["cat", "class 1"]  # not assigned
