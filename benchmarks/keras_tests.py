"""Keras's own tests, with ``Model.fit`` replaced by ``mlplab.fit``.

    python -m benchmarks.keras_tests [CHECKOUT]     # or the tests that Keras's wheel brings along

Runs each folder with plain Keras, and those of its tests that call ``fit`` again with mlplab, each
in a process of its own. Counted are tests that call ``fit``: passed by Keras, passed by mlplab, and
served: without a call that was left to Keras's own steps. Writes
``benchmarks/results/keras-tests.json`` and a page.
"""

import argparse
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).parents[1]
# Most of the time is compiling, of programs that run for an instant (see tests/conftest.py).
FLAGS = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
# Folders with tests that call ``fit``.
FOLDERS = ("trainers", "models", "callbacks", "optimizers", "losses", "layers")


def main() -> None:
    """Run the tests and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=Path, nargs="?", help="folder that contains keras/src")
    parser.add_argument("--folders", nargs="*", default=FOLDERS)
    parser.add_argument("--kept", type=Path, default=RESULTS / "quick" / "keras-tests")
    parser.add_argument("--out", type=Path, default=RESULTS / "keras-tests.json")
    arguments = parser.parse_args()
    root = arguments.checkout or installed()
    found: dict[str, dict[str, dict[str, Any]]] = {"keras": {}, "mlplab": {}}
    for folder in parts(root, arguments.folders):
        for mode, tests in found.items():
            tests |= outcomes(root, folder, mode, arguments.kept)
            print(f"{folder}, {mode}: {len(tests)} tests so far", flush=True)
    rows = table(found)
    arguments.out.write_text(json.dumps(rows, indent=1) + "\n")
    arguments.out.with_suffix(".md").write_text(page(rows))
    print(page(rows))


def installed() -> Path:
    """Return the folder that contains the installed Keras."""
    spec = find_spec("keras")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parents[1]


def parts(root: Path, folders: Sequence[str]) -> Iterator[str]:
    """Yield folders of tests, those of the layers one by one."""
    for folder in folders:
        if folder == "layers":
            files = (root / "keras/src/layers").glob("*/*_test.py")
            yield from sorted({f"layers/{path.parent.name}" for path in files})
        else:
            yield folder


def outcomes(root: Path, folder: str, mode: str, kept: Path) -> dict[str, dict[str, Any]]:
    """Return the outcomes of a folder's tests by their names, kept from before if they are there.

    Args:
        root: contains ``keras/src``.
        folder: in it.
        mode: whose ``fit`` trains, ``keras`` or ``mlplab``.
        kept: where outcomes are kept, so that a run that was ended goes on.
    """
    name = folder.replace("/", "-")
    path = kept.resolve() / f"{mode}-{name}.jsonl"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        out = path.with_suffix(".unfinished")
        out.write_text("")
        variables = {
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
            "KERAS_BACKEND": "jax",
            "MLPLAB_KERAS_TESTS": mode,
            "MLPLAB_KERAS_TESTS_OUT": str(out),
            "XLA_FLAGS": FLAGS,
        }
        if mode == "mlplab":
            variables["MLPLAB_KERAS_TESTS_ONLY"] = str(path.with_name(f"keras-{name}.jsonl"))
        plugins = ["-p", "benchmarks.keras_tests_plugin", "-p", "no:cacheprovider"]
        quiet = ["-q", "--tb=no", "-W", "ignore", "--continue-on-collection-errors"]
        # Without the project's own settings, such as markers that have to be declared.
        alone = ["-c", os.devnull, "--rootdir", "."]
        subprocess.run(
            [sys.executable, "-m", "pytest", *alone, *plugins, *quiet, f"keras/src/{folder}"],
            cwd=root,
            env=os.environ | variables,
            stdout=subprocess.DEVNULL,
            check=False,  # failures are what is counted
        )
        out.rename(path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {line.pop("test"): line for line in lines}


def table(found: dict[str, dict[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return a row for each test file with tests that call ``fit``."""
    rows: dict[str, dict[str, Any]] = defaultdict(
        lambda: {"fit": 0, "keras": 0, "mlplab": 0, "served": 0, "failed": [], "left": []}
    )
    for name, plain in found["keras"].items():
        ours = found["mlplab"].get(name, {"outcome": "missing", "calls": [], "error": ""})
        if not (plain["calls"] or ours["calls"]) or plain["outcome"] != "passed":
            continue
        file, _, test = name.partition("::")
        row = rows[file]
        left = sorted({call for call in ours["calls"] if call.startswith("fell back")})
        passed = ours["outcome"] == "passed"
        row["fit"] += 1
        row["keras"] += 1
        row["mlplab"] += passed
        row["served"] += passed and not left
        if not passed:
            row["failed"].append(f"{test}: {ours['error']}")
        if left:
            row["left"].append(f"{test}: {left[0].rpartition('because ')[2]}")
    return [{"file": file, **row} for file, row in sorted(rows.items())]


def page(rows: list[dict[str, Any]]) -> str:
    """Return the results as a page."""
    sums = {key: sum(row[key] for row in rows) for key in ("fit", "keras", "mlplab", "served")}
    share = sums["served"] / max(1, sums["fit"])
    lines = [
        "# Keras's own tests under `mlplab.fit`",
        "",
        "Written by `python -m benchmarks.keras_tests`. Tests of Keras that call `fit` and pass"
        " with plain Keras on JAX, run again with `Model.fit` replaced by `mlplab.fit`. *Served*"
        " are those without a call that was left to Keras's own steps.",
        "",
        f"{sums['fit']} tests; {sums['mlplab']} pass with mlplab; {sums['served']}"
        f" ({100 * share:.1f} %) are served.",
        "",
        "| file | call `fit` | pass with mlplab | served |",
        "| --- | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row['file']} | {row['fit']} | {row['mlplab']} | {row['served']} |" for row in rows
    ]
    for key, title in (("failed", "Fail with mlplab"), ("left", "Left to Keras's own steps")):
        named = [f"- {row['file']}, {each}" for row in rows for each in row[key]]
        if named:
            lines += ["", f"## {title}", "", *named]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
