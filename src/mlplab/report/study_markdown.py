"""A study's results as Markdown, with its charts as pictures."""

from collections.abc import Sequence
from pathlib import Path

from mlplab import figures, files
from mlplab.report import comparison_tables, study_page
from mlplab.report.charts import charts
from mlplab.report.study import TRIAL_HEADINGS, Results, trial_rows


def write_study_markdown(results: Results, path: Path) -> None:
    """Write a study's results as Markdown.

    Args:
        results: of the study.
        path: of the file; the pictures go into a folder of the same name next to it.

    Raises:
        StorageError: if they cannot be written.
    """
    pictures = path.with_suffix("")
    with files.storage(str(pictures)):
        pictures.mkdir(parents=True, exist_ok=True)
    drawn = charts(results)
    for one in drawn:
        figures.save(figures.chart(one), pictures / f"{one['id']}.png")
    parts = [
        f"# {results.facts['study'].get('title') or results.facts['name']}",
        f"`{results.facts['command']}`",
        *_facts(results),
        *(f"**Not shown:** {_plain(text)}." for text in results.missing),
        *_finals(results),
    ]
    for one in drawn:
        picture = f"![{one['title']}]({pictures.name}/{one['id']}.png)"
        parts += [f"## {one['title']}", one["caption"], picture]
    parts += [*_target(results), *_importance(results), *_trials(results)]
    files.write_text(path, "\n\n".join(parts) + "\n")


def _facts(results: Results) -> list[str]:
    how = study_page.how(results) | {"written": str(results.facts["written"])[:10]}
    return ["\n".join(f"- {key}: {_plain(value)}" for key, value in how.items())]


def _finals(results: Results) -> list[str]:
    found = results.comparison
    if found is None:
        return []
    adjusted = (
        f", adjusted over the {len(found.pairings)} comparisons by Holm's method"
        if found.adjustment == "Holm"
        else ""
    )
    return [
        "## Verdicts",
        "Final runs of each variant's best trial, on seeds that no trial has used. Ordered by"
        f" validation; differences on {found.split}, seed by seed{adjusted}.",
        comparison_tables.markdown(found),
        f"The test set was evaluated {results.opened} in this runs folder.",
    ]


def _target(results: Results) -> list[str]:
    rows = study_page.target_rows(results)
    if not rows:
        return []
    target = results.facts["study"]["target"]
    return [
        f"## Time to {100 * target:g} % on validation",
        "Medians over the final runs; a run that does not reach it counts as infinite.",
        _table(["variant", "epochs", "seconds", "runs that reached it"], rows),
    ]


def _importance(results: Results) -> list[str]:
    rows = study_page.importance_rows(results)
    said = "Share of the variance among a variant's trials that each key explains (fANOVA)."
    return ["## Importance", said, _table(["variant", "key", "share"], rows)] if rows else []


def _trials(results: Results) -> list[str]:
    rows = [[*row[:-1], f"`{row[-1]}`" if row[-1] else ""] for row in trial_rows(results)]
    return ["## Trials", _table(TRIAL_HEADINGS, rows)]


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(headings) + " |", "|" + " --- |" * len(headings)]
    return "\n".join([*lines, *("| " + " | ".join(map(_plain, row)) + " |" for row in rows)])


def _plain(text: str) -> str:
    """Return text escaped so that it is neither HTML nor ends a table cell."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
