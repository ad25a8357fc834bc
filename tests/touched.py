"""Prints the test files that a change touches, for ``make check``.

These are the changed test files, those that import a changed module of the package or of the tests
directly, and those below a changed conftest.py.
What counts as changed is the working tree against the branch ``main``, or against its last commit
on ``main`` itself.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))

import plan  # noqa: E402  reads the imports of files


def git(*arguments: str) -> list[str]:
    """Return the lines that a git command prints; none if it fails."""
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.splitlines() if done.returncode == 0 else []


def changed() -> set[Path]:
    """Return the changed and new files."""
    base = git("merge-base", "HEAD", "main") or ["HEAD"]
    names = git("diff", "--name-only", base[0]) + git("ls-files", "--others", "--exclude-standard")
    return {ROOT / name for name in names}


def touched(paths: set[Path]) -> list[Path]:
    """Return the test files that changed files touch."""
    known = plan.modules()
    modules = {name for name, path in known.items() if path in paths}
    tests = sorted((ROOT / "tests").rglob("test_*.py"))
    shared = [path for path in paths if path.name == "conftest.py"]
    return [
        test
        for test in tests
        if test in paths
        or modules & plan.imports(test, known)
        or any(test.is_relative_to(conftest.parent) for conftest in shared)
        or any(f"tests.{helper}" in test.read_text("utf-8") for helper in _helpers(paths))
    ]


def _helpers(paths: set[Path]) -> set[str]:
    """Return the changed modules that tests import from each other, without ``tests.``."""
    folder = ROOT / "tests"
    inside = {path.relative_to(folder) for path in paths if path.is_relative_to(folder)}
    names = {".".join(path.with_suffix("").parts) for path in inside if path.suffix == ".py"}
    return {name for name in names if not name.split(".")[-1].startswith(("test_", "conftest"))}


if __name__ == "__main__":
    print(" ".join(str(path.relative_to(ROOT)) for path in touched(changed())))
