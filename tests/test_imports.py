"""The layers, and the cold side that loads neither Keras nor JAX."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mlplab

ROOT = Path(mlplab.__file__).parent

# A module may import from its own layer's package and from those before it.
LAYERS = [
    {
        "errors",
        "plain",
        "files",
        "memory",
        "tables",
        "families",
        "config",
        "recipes",
        "statistics",
        "differences",
    }
    | {"runs.record", "runs.lock", "runs.store"},
    {"data", "models", "optim", "figures"},
    {"training"},
    {"report"},
    {"runs"},
    {"study"},
    {"api"},
    {"cli"},
]
COLD = [
    "differences",
    "study.design",
    "study.points",
    "tables",
    "families",
    "config",
    "recipes",
    "statistics",
    "runs.record",
    "runs.store",
    "runs.run",
    "report",
    "cli",
]


def modules() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in ROOT.rglob("*.py")
        if path.name != "__main__.py" and path != ROOT / "__init__.py"
    }


def layer(module: str) -> int:
    parts = module.split(".")
    for depth in (2, 1):
        for number, names in enumerate(LAYERS):
            if ".".join(parts[:depth]) in names:
                return number
    raise AssertionError(f"{module} belongs to no layer")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    ours = {name.removeprefix("mlplab.") for name in found if name.startswith("mlplab.")}
    known = modules()
    return {name for name in ours if name in known}


@pytest.mark.parametrize("module", sorted(modules()))
def test_a_module_imports_only_from_its_layer_and_those_before(module: str) -> None:
    own = module.split(".")[0]
    for imported in imports(modules()[module]) - {"runs"}:
        assert layer(imported) <= layer(module), f"{module} imports {imported}"
        siblings = {"data", "models", "optim", "figures"}
        if own in siblings and imported.split(".")[0] in siblings:
            assert imported.split(".")[0] == own, f"{module} imports its sibling {imported}"


@pytest.mark.parametrize("module", COLD)
def test_the_cold_side_loads_neither_keras_nor_jax(module: str) -> None:
    code = (
        f"import sys, mlplab.{module};"
        "print([m for m in ('keras', 'jax', 'tensorflow', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
