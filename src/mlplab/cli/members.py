"""The members of a population: read from ``--population``, and shown in a table."""

import itertools
import math
import re
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mlplab import recipes
from mlplab.cli import show as show_run
from mlplab.errors import RecipeError
from mlplab.recipes.recipe import Recipe
from mlplab.report.formatting import openings, percent
from mlplab.runs.record import Record

RATE = "optimizer.learning_rate"
MOST = 1000  # members: a typing mistake would otherwise fill the disk with run folders


def variants(recipe: Recipe, given: Sequence[str], overrides: Sequence[str] = ()) -> list[Recipe]:
    """Return the recipes that ``--population`` describes, each learning rate with each seed.

    Args:
        recipe: what they share.
        given: ``"seed=0..9"``, ``"optimizer.learning_rate=1e-4,1e-3"``, or both.
        overrides: that the recipe was loaded with.

    Raises:
        RecipeError: for another key, one given twice or overridden as well, or values that are
            wrong.
    """
    overridden = [item.partition("=")[0].strip() for item in overrides]
    values: dict[str, list[float]] = {}
    for item in given:
        key, _, text = item.partition("=")
        key = key.strip()
        if key not in ("seed", RATE):
            raise RecipeError(
                f"--population {item}: its members are trained by one program, so that only seed"
                f" (seed=0..9) and {RATE} ({RATE}=1e-4,1e-3) may differ. Other keys change the"
                " program: train those as separate runs"
            )
        if key in values:
            raise RecipeError(f"--population {key} is given twice; list all values in one")
        if key in overridden:
            raise RecipeError(f"{key} is given for all runs and as --population {item}; drop one")
        values[key] = _values(key, text.strip())
    seeds, rates = values.get("seed", [recipe.seed]), values.get(RATE, [])
    if len(seeds) * max(1, len(rates)) > MOST:
        raise RecipeError(
            f"--population describes {len(seeds) * max(1, len(rates)):,} runs; at most {MOST:,}"
        )
    tables = recipes.to_tables(recipe)
    pairs = [[([*RATE.split(".")], rate)] for rate in rates] or [[]]
    return [
        recipes.with_seed(recipes.validate(recipes.override(tables, pair)), int(seed))
        for pair, seed in itertools.product(pairs, seeds)
    ]


def whole_numbers(text: str) -> list[int] | None:
    """Read ``0..4`` (both ends included) or ``0,3,7``; return ``None`` for anything else."""
    span = re.fullmatch(r"(\d{1,9})\.\.(\d{1,9})", text)
    if span:
        first, last = int(span[1]), int(span[2])
        return list(range(first, last + 1)) if first <= last < first + 10_000 else None
    if re.fullmatch(r"\d{1,9}(,\d{1,9})*", text):
        return [int(number) for number in text.split(",")]
    return None


def _values(key: str, text: str) -> list[float]:
    if key == "seed":
        found: list[float] | None = [*map(float, whole_numbers(text) or [])]
        expected = "0..9 for ten runs, or 0,3,7"
    else:
        found, expected = _rates(text), "rates above 0 such as 1e-4,3e-4,1e-3"
    if not found:
        raise RecipeError(f"--population {key}{'=' if text else ''}{text}: write {expected}")
    twice = [value for value in found if found.count(value) > 1]
    if twice:
        raise RecipeError(f"--population {key}={text}: {twice[0]:g} is there twice; give it once")
    return found


def _rates(text: str) -> list[float]:
    try:
        rates = [float(part) for part in text.split(",")]
    except ValueError:
        return []
    return rates if all(0 < rate < math.inf for rate in rates) else []


def show(console: Console, records: Sequence[Record]) -> None:
    """Print what each member of a population reached, in one table."""
    table = Table(box=None, pad_edge=False)
    headings = ("member", "status", "epochs", "best epoch", "validation", "test")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in headings[:2] else "right")
    for record in records:
        accuracies = {split: values["accuracy"] for split, values in record.metrics.items()}
        if record.selected_on == "test":  # it has no figures of its own
            accuracies.pop("validation", None)
        table.add_row(
            escape(record.name),
            record.status,
            str(record.epochs),
            str(record.best_epoch),
            percent(accuracies.get("validation")),
            percent(accuracies.get("test")),
        )
    console.print(table)
    last = records[-1]
    if last.selected_on == "test":
        console.print(
            "[yellow]selected on the test split, so the test accuracy is optimistic[/yellow]"
        )
    if last.ledger and any("test" in record.metrics for record in records):
        console.print(f"test set evaluated {openings(last.ledger)} in this runs folder")
    if any(map(show_run.is_untested, records)):
        console.print(show_run.untested("MEMBER"))
    members = f"{len(records)} member{'s' if len(records) > 1 else ''}"
    console.print(
        f"{members} trained in {last.seconds.train:.1f} s; one in full: mlplab runs show MEMBER"
    )
