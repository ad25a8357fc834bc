"""Writes the pages of docs/reference from the code that they describe.

python docs/generate.py            # writes them
python docs/generate.py --check    # says which are stale, with exit code 1
"""

import html
import inspect
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from mlplab.models import parts
from mlplab.optim import signatures
from mlplab.optim.optimizers import OPTIMIZERS
from mlplab.optim.schedules import SCHEDULES
from mlplab.recipes.networks import FAMILIES
from mlplab.recipes.recipe import Recipe
from mlplab.statistics.metrics import METRICS
from mlplab.training.callbacks import CALLBACKS, HIDDEN, PATHS
from mlplab.training.losses import LOSSES

HERE = Path(__file__).parent
MEANINGS: dict[str, dict[str, str]] = tomllib.loads((HERE / "meanings.toml").read_text("utf-8"))
# Typer leaves its own options out of its documentation.
COMPLETION = """\
* `--install-completion`: Teach the shell to complete commands and options at Tab.
* `--show-completion`: Print what that would install.
"""
NOTE = "<!-- Written by `python docs/generate.py`. Changes made here by hand are lost. -->"

# What mlplab fills in where Keras has no default.
WHOLE = "the whole training"
FILLED = {
    "initial_learning_rate": "the optimizer's",
    "peak_learning_rate": "the optimizer's",
    "decay_steps": WHOLE,
    "first_decay_steps": WHOLE,
} | {parameter: f"`{path}`" for parameter, path in PATHS.values()}

# Keras's LearningRateScheduler takes a function, which no recipe can hold.
RATES = ["`table`", "list of: [epoch, rate]", "needed", "each rate holds from its epoch on"]

BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
KINDS = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "`true` or `false`",
    "null": '`"none"`',
}
NAMES_OF_KERAS = {
    "activations": parts.ACTIVATIONS,
    "initialisers": parts.INITIALISERS,
    "losses": list(LOSSES),
}
TYPES = {
    "model.activation": "one of the [activations](#activations)",
    "model.initialiser": "one of the [initialisers](#initialisers)",
    "loss.name": "one of the [losses](#losses)",
}


def kind(schema: Mapping[str, Any]) -> str:
    """Return a JSON schema's type in words: ``number ≥ 0, < 1``."""
    if "anyOf" in schema:
        return ", or ".join(kind(part) for part in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        return ", ".join(toml(value) for value in schema.get("enum") or [schema["const"]])
    if schema.get("type") == "array":
        return f"list of: {kind(schema['items'])}"
    limits = ", ".join(f"{sign} {schema[key]}" for key, sign in BOUNDS.items() if key in schema)
    # What has neither default nor type in Keras is a path.
    return f"{KINDS[schema.get('type', 'string')]} {limits}".strip()


def toml(value: Any) -> str:
    """Return a value as a recipe writes it, as code."""
    words = {None: '"none"', True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return f"`{words[value]}`"
    text = repr(value).replace("'", '"')
    return f"`{text}`"


def table(rows: Iterator[list[str]]) -> str:
    """Return rows of key, type, default and meaning as a Markdown table."""
    lines = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(lines)


def keys(name: str, schema: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield the rows of one table of a recipe."""
    for key, value in schema["properties"].items():
        path = f"{name}.{key}" if name else key
        default = toml(value["default"]) if "default" in value else "needed"
        meaning = value.get("description", "")
        yield [f"`{path}`", TYPES.get(path) or kind(value), default, meaning]


def recipe() -> str:
    """Return the page of every key of a recipe."""
    whole = Recipe.model_json_schema()
    tables = whole["$defs"]
    top = {key: value for key, value in whole["properties"].items() if "type" in value}
    del top["callbacks"]
    parts = [
        "# Keys of a recipe",
        "Every key that a recipe can have, with its default. The guide to them is"
        ' [Recipes](../recipes.md). The word `"none"` means no value.',
        "## Top level",
        table(keys("", {"properties": top})),
    ]
    families = [family.__name__ for family in FAMILIES.values()]
    for name in (
        "Data",
        *families,
        "CustomModel",
        "Augment",
        "Loss",
        "Teacher",
        "Average",
        "Training",
        "Evaluation",
    ):
        title, _, meaning = tables[name]["description"].partition(": ")
        table_name = re.findall(r"\[(\w+)\]", title)[0]
        parts += [
            f"## {title.replace('``', '`')}",
            f"{meaning[0].upper()}{meaning[1:]}".replace("``", "`"),
            table(keys(table_name, tables[name])),
        ]
    parts += [
        "## `[optimizer]`, `[schedule]`, `[callbacks.NAME]`",
        "Each has a `name` and the parameters of what it names: [optimizers](optimizers.md),"
        " [schedules](schedules.md), [callbacks](callbacks.md).",
    ]
    for what, names in NAMES_OF_KERAS.items():
        parts += [f"## {what.capitalize()}", ", ".join(toml(name) for name in names)]
    return "\n\n".join(parts)


def parameters(
    cls: type, section: str, hidden: Collection[str], known: Collection[list[str]] = ()
) -> Iterator[list[str]]:
    """Yield the rows of a class's parameters, without those that are ``known`` already.

    Raises:
        SystemExit: if a parameter has no meaning in meanings.toml.
    """
    for name, parameter in inspect.signature(cls).parameters.items():
        if name in hidden or parameter.kind is inspect.Parameter.VAR_KEYWORD:
            continue
        meanings = MEANINGS[section]
        meaning = meanings.get(f"{cls.__name__}.{name}", meanings.get(name))
        if meaning is None:
            sys.exit(f"docs/meanings.toml: [{section}] lacks {cls.__name__}.{name}")
        default = parameter.default
        missing = FILLED.get(name, "needed")
        row = [
            f"`{name}`",
            kind(TypeAdapter(signatures._expected(cls, parameter)).json_schema()),
            missing if default is parameter.empty else toml(default),
            meaning,
        ]
        if row not in known:
            yield row


def optimizers() -> str:
    """Return the page of optimizers: what all have in common once, then what each has beside."""
    rows = {name: list(parameters(cls, "optimizers", ["name"])) for name, cls in OPTIMIZERS.items()}
    common = [row for row in rows["SGD"] if sum(row in other for other in rows.values()) > 7]
    parts = [
        "# Optimizers",
        "Names in any capitalisation, with or without underscores. Which is which, and where each"
        " comes from: [Optimizers and schedules](../optimizers-and-schedules.md).",
        "## What every optimizer has",
        "Unless its own table below says otherwise.",
        table(iter(common)),
    ]
    for name in OPTIMIZERS:
        parts += [f"## {name}", table(row for row in rows[name] if row not in common)]
    return "\n\n".join(parts)


def schedules() -> str:
    """Return the page of schedules."""
    parts = [
        "# Schedules",
        "The `name` and the parameters of `[schedule]`. A step is one batch. What they look like:"
        " [Optimizers and schedules](../optimizers-and-schedules.md).",
    ]
    for name, cls in SCHEDULES.items():
        hidden = ("name", "steps_per_epoch", "epochs")
        parts += [f"## {name}", table(parameters(cls, "schedules", hidden))]
    return "\n\n".join(parts)


def callbacks() -> str:
    """Return the page of callbacks."""
    parts = [
        "# Callbacks",
        "The `name` and the parameters of `[callbacks.NAME]`, where NAME is any name that you give"
        " the table. What they do: [Callbacks](../callbacks.md).",
    ]
    for name, cls in CALLBACKS.items():
        rows = [RATES]
        if name != "LearningRateScheduler":
            rows = list(parameters(cls, "callbacks", HIDDEN.get(name, ())))
        parts += [f"## {name}", table(iter(rows)) if rows else "No parameters."]
    return "\n\n".join(parts)


def command_line() -> str:
    """Return the page of commands: Typer's own, its examples set as code."""
    command = [sys.executable, "-m", "typer", "mlplab.cli", "utils", "docs", "--name", "mlplab"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    text = in_full(html.unescape(done.stdout).strip())
    text = text.replace("# `mlplab`", "# Command line", 1)
    text = text.replace("* `--help`", f"{COMPLETION}* `--help`", 1)
    return re.sub(r"^Example: (.*)$", r"```console\n$ \1\n```", text, flags=re.MULTILINE)


def in_full(text: str) -> str:
    """Return the page with each command's summary whole, which Typer cuts short in its lists."""
    summaries = dict(re.findall(r"^#+ `(.+)`\n\n(.+)$", text, flags=re.MULTILINE))
    group, lines = "", []
    for line in text.splitlines():
        heading, item = re.match(r"#+ `(.+)`$", line), re.match(r"\* `(\w+)`: ", line)
        group = heading[1] if heading else group
        summary = summaries.get(f"{group} {item[1]}") if item else None
        lines.append(f"{item[0]}{summary}" if item and summary else line)
    return "\n".join(lines)


def metrics() -> str:
    """Return the page of the figures that every evaluation measures."""
    rows = [
        f"| `{metric.name}` | {metric.label} | {metric.unit} | {metric.meaning} |"
        f" {'yes' if metric.over_views else 'no'} |"
        for metric in METRICS
    ]
    return "\n\n".join(
        [
            "# Metrics",
            "What every evaluation measures on a split, under these names in `record.json` and in"
            " TensorBoard. Shares are shown in percent. Accuracy comes with a 95 % interval"
            " (Wilson 1927). How they are to be read: [Judgement](../judgement.md).",
            "\n".join(
                [
                    "| name | label | unit | meaning | also over views of an image |",
                    "| --- | --- | --- | --- | --- |",
                    *rows,
                ]
            ),
        ]
    )


PAGES: dict[str, Callable[[], str]] = {
    "command-line.md": command_line,
    "recipe.md": recipe,
    "optimizers.md": optimizers,
    "schedules.md": schedules,
    "callbacks.md": callbacks,
    "metrics.md": metrics,
}


def stale() -> dict[Path, str]:
    """Return what each page that is not as it should be should be."""
    pages = {}
    for name, make in PAGES.items():
        path, text = HERE / "reference" / name, f"{NOTE}\n\n{make()}\n"
        if not path.exists() or path.read_text("utf-8") != text:
            pages[path] = text
    return pages


def main() -> None:
    """Write the pages, or only check them."""
    pages = stale()
    if "--check" in sys.argv[1:]:
        if pages:
            names = ", ".join(path.name for path in pages)
            sys.exit(f"stale: {names}; run python docs/generate.py")
        return
    for path, text in pages.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
