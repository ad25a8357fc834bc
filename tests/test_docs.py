"""The documentation: complete, up to date, its links and its Python right."""

import doctest
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from mlplab import recipes
from mlplab.api import comparing, run, training
from mlplab.cli.app import app
from mlplab.data import given
from mlplab.runs.record import Record, Seconds

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "CONTRIBUTING.md"])
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)")
RUNNABLE = re.compile(r"<!-- runnable -->\n```python\n(.*?)```", re.DOTALL)


def page_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_what_the_code_says(generate: ModuleType) -> None:
    stale = [path.name for path in generate.stale()]
    assert not stale, "run python docs/generate.py"


def test_every_key_of_a_recipe_has_a_meaning(generate: ModuleType) -> None:
    assert "|  |" not in generate.recipe()


def commands(group: Any, name: str = "mlplab") -> Iterator[tuple[str, Any]]:
    yield name, group
    for key, command in getattr(group, "commands", {}).items():
        yield from commands(command, f"{name} {key}")


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_each_of_its_options_is_explained(name: str) -> None:
    page = (DOCS / "reference" / "command-line.md").read_text("utf-8")
    title = "# Command line" if name == "mlplab" else f"## `{name}`"
    section = re.split(r"\n##+ ", page.partition(f"{title}\n")[2])[0]
    assert COMMANDS[name].help
    for parameter in COMMANDS[name].params:
        shown = parameter.opts[0] if parameter.opts[0].startswith("-") else parameter.metavar
        start = f"* `{shown or parameter.name}"
        lines = [line for line in section.splitlines() if line.startswith(start)]
        assert lines, f"{shown} of {name} is not in the reference"
        assert lines[0].partition("`: ")[2], f"{shown} of {name} has no help"


@pytest.mark.parametrize("name", recipes.names())
def test_every_shipped_recipe_is_introduced(name: str) -> None:
    assert f"| `{name}` |" in (DOCS / "recipes.md").read_text("utf-8")


@pytest.mark.parametrize("fact", [*Record.model_fields, *Seconds.model_fields])
def test_every_fact_of_the_record_is_explained(fact: str) -> None:
    page = (DOCS / "run-folder.md").read_text("utf-8").partition("## record.json")[2]
    assert f"`{fact.removesuffix('_version')}`" in page


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as MkDocs makes them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", title).strip().lower() for title in titles]
    return {re.sub(r"[-\s]+", "-", title) for title in plain}


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text("utf-8")):
        found = page.parent / target if target else page
        assert found.exists(), f"{page_name(page)} links to {target}"
        assert not anchor or anchor[1:] in anchors(found), f"{page_name(page)}: {target}{anchor}"


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize(
    "page", [page for page in PAGES if RUNNABLE.search(page.read_text("utf-8"))], ids=page_name
)
def test_python_that_is_marked_as_runnable_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exec("\n".join(RUNNABLE.findall(page.read_text("utf-8"))), {})


@pytest.mark.usefixtures("without_pictures")
def test_the_examples_of_the_python_interface_hold() -> None:
    results = [doctest.testmod(module) for module in (comparing, given, run, training)]
    assert sum(result.attempted for result in results) >= 5
    assert not any(result.failed for result in results), "see the output above"


def test_every_page_can_be_found() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:")[2]
    listed = set(re.findall(r": (\S+\.md)$", navigation, re.MULTILINE))
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    assert listed == pages
