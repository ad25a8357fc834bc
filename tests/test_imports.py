"""The rooms and their floors, no circles, and the cold side that loads neither Keras nor JAX."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

SOURCE = Path(__file__).parents[1] / "docs" / "plan.py"


def load_plan() -> ModuleType:
    spec = importlib.util.spec_from_file_location("plan", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


plan = load_plan()
FILES: dict[str, set[str]] = plan.files()

# Cold files of rooms that are not cold as a whole.
COLD_FILES = {
    "study.design",
    "study.sampling",
    "study.search_space",
    "tensorboard.server",
    "experiment.publish",
    "experiment.split",
}


def test_a_file_imports_only_from_its_own_room_and_from_rooms_below() -> None:
    for name, imported in FILES.items():
        for other in imported:
            same_room = name.split(".")[0] == other.split(".")[0]
            ground = plan.floor(name) == plan.floor(other) == 0
            assert same_room or ground or plan.floor(other) < plan.floor(name), f"{name}: {other}"


def test_neither_files_nor_rooms_import_in_a_circle() -> None:
    assert plan.circle(FILES) == []
    assert plan.circle(plan.rooms()) == []


def test_a_circle_would_be_found() -> None:
    assert plan.circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


def test_the_plan_of_the_rooms_is_as_the_imports_are() -> None:
    assert plan.PICTURE.read_text("utf-8") == plan.picture(), "run python docs/plan.py"


WALK = (SOURCE.parent / "architecture.md").read_text("utf-8").split("<!-- walk -->")[1]
STEP = re.compile(r"^( *)- `(\S+)\.py` `(\w+)`", re.MULTILINE)


def test_the_documented_walk_of_a_recipe_follows_imports_and_takes_no_step_up() -> None:
    callers: list[tuple[int, str]] = []
    for indent, path, function in STEP.findall(WALK):
        name = path.replace("/", ".").removesuffix(".__init__")
        source = plan.modules()[name].read_text("utf-8")
        assert re.search(rf"^(def|class) {function}\b", source, re.MULTILINE), (name, function)
        while callers and callers[-1][0] >= len(indent):
            callers.pop()
        if callers:
            caller = callers[-1][1]
            reached = FILES[caller] | {caller}
            for package in FILES[caller] & {name.rpartition(".")[0]}:  # which re-exports it
                reached |= FILES[package]
            assert name in reached, f"{caller} does not import {name}"
            assert plan.floor(name) <= plan.floor(caller)
        callers.append((len(indent), name))
    assert len(STEP.findall(WALK)) > 30


def loaded_by(names: list[str], libraries: tuple[str, ...]) -> str:
    """Import files one after the other in one process; return what the first failure says."""
    code = (
        "import importlib, sys\n"
        f"for name in {names}:\n"
        "    importlib.import_module(f'mlplab.{name}')\n"
        f"    loaded = [m for m in {libraries} if m in sys.modules]\n"
        "    assert not loaded, f'{name} loads {loaded}'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.stderr


def test_the_cold_side_loads_neither_keras_nor_jax() -> None:
    own_process = {"ui.worker"}
    files = [n for n in FILES if n.split(".")[0] in plan.COLD or n in COLD_FILES]
    cold = sorted(set(files) - own_process)
    drawing = {"report.comparison_folder", "report.study_markdown"}
    libraries = ("keras", "jax", "tensorflow")
    assert loaded_by([n for n in cold if n not in drawing], (*libraries, "matplotlib")) == ""
    assert loaded_by(sorted(drawing), libraries) == ""


def test_the_command_line_loads_no_matplotlib_before_it_draws() -> None:
    assert loaded_by(["cli"], ("matplotlib", "keras", "jax")) == ""
