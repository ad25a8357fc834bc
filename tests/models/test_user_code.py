import sys
from pathlib import Path

import pytest

from mlplab.errors import RecipeError
from mlplab.models.user_code import digest, load_object, sources


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with the package ``<its name>`` and a module beside it."""
    package = tmp_path / f"p_{tmp_path.name}"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "net.py").write_text(
        "import numpy as np\n"
        "from .parts import WIDTH\n"
        "def width():\n"
        f"    from h_{tmp_path.name} import depth\n"
        "    return WIDTH, depth()\n"
    )
    (package / "parts.py").write_text("WIDTH = 1\n")
    (package / "other.py").write_text("")
    (tmp_path / f"h_{tmp_path.name}.py").write_text("def depth():\n    return 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_code_is_loaded_as_it_is_now_and_identified_with_what_it_imports(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Bytecode knows its file by a second and a length, which here are those of the next version.
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    package, beside = f"p_{folder.name}", f"h_{folder.name}.py"
    name = f"{package}.net:width"
    __import__(f"{package}.net")  # by the user, before
    first = load_object(name, trust=True)
    assert first() == (1, 1)
    found = sources([name])
    assert set(found) == {
        f"{package}/__init__.py",
        f"{package}/net.py",
        f"{package}/parts.py",
        beside,
    }
    assert load_object(name, trust=True) is first
    (folder / package / "parts.py").write_text("WIDTH = 2\n")
    (folder / beside).write_text("def depth():\n    return 3\n")
    assert load_object(name, trust=True, fresh=False) is first
    assert sources([name]) == found
    assert load_object(name, trust=True)() == (2, 3)
    assert digest(sources([name])) != digest(found)


def test_an_edit_within_a_second_to_the_same_length_is_noticed(folder: Path) -> None:
    file = folder / f"q_{folder.name}.py"
    for number in range(5):
        file.write_text(f"def number():\n    return {number}\n")
        assert load_object(f"{file.stem}:number", trust=True)() == number


def test_code_that_no_longer_loads_leaves_the_module_that_was_there(folder: Path) -> None:
    file = folder / f"q_{folder.name}.py"
    file.write_text("def number():\n    return 1\n")
    load_object(f"{file.stem}:number", trust=True)
    before = sys.modules[file.stem]
    file.write_text("def number(:\n")
    with pytest.raises(RecipeError, match="SyntaxError"):
        load_object(f"{file.stem}:number", trust=True)
    assert sys.modules[file.stem] is before


def test_an_installed_package_is_identified_by_its_file_and_not_loaded_again() -> None:
    import keras

    assert load_object("keras.callbacks:Callback", trust=True) is keras.callbacks.Callback
    assert set(sources(["keras.callbacks:Callback"])) == {"keras/callbacks.py"}
