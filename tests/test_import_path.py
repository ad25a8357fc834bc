"""No process of mlplab imports from the current folder; a program that uses mlplab may."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlplab import import_path

LIBRARIES = ("csv", "email", "keras", "numpy", "random", "typing")


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with files that are called like libraries and end what imports them."""
    for name in LIBRARIES:
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from here')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    return tmp_path


def python(*arguments: str, paths: str = "") -> "subprocess.CompletedProcess[str]":
    known = [path for path in sys.path if path and Path(path).is_dir()]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([paths, *known] if paths else known)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=variables, timeout=100)


@pytest.mark.usefixtures("trap")
def test_the_command_line_imports_nothing_from_the_current_folder() -> None:
    done = python("-m", "mlplab", "recipes")
    assert (done.returncode, done.stderr) == (0, "")


def test_neither_does_the_installed_command_where_pythonpath_names_no_folder(
    trap: Path,
) -> None:
    program = trap / "bin" / "mlplab"
    program.parent.mkdir()
    program.write_text("from mlplab.cli import main\nmain()\n")
    done = python(str(program), "recipes", paths=".")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.usefixtures("trap")
def test_a_program_that_uses_mlplab_keeps_its_path() -> None:
    (Path.cwd() / "typing.py").unlink()
    (Path.cwd() / "csv.py").unlink()
    (Path.cwd() / "email.py").unlink()
    (Path.cwd() / "random.py").unlink()
    code = "import sys; before = list(sys.path); import mlplab; assert sys.path == before"
    assert python("-c", code).returncode == 0


def test_children_import_from_the_folders_that_are_named_in_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", "/code", ".", "sub"]))
    assert import_path.environment() == {
        "PYTHONSAFEPATH": "1",
        "PYTHONPATH": os.pathsep.join(["/code", "sub"]),
    }
