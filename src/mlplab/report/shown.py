"""What shows itself in a notebook: curves, and a comparison. In a terminal, it is text."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlplab import files
from mlplab.report import study
from mlplab.report.comparison import Comparison
from mlplab.report.comparison_tables import markdown, rows, verdict
from mlplab.report.configurations import Side
from mlplab.report.curve_svg import Rows, curves
from mlplab.runs import layout

CELL = 'style="text-align: right; padding: 2px 8px"'


def table(headings: Sequence[str], entries: Sequence[Sequence[str]]) -> str:
    """Return a table as HTML that is the same in every notebook."""
    head = "".join(f"<th {CELL}>{html.escape(word)}</th>" for word in headings)
    body = "".join(
        "<tr>" + "".join(f"<td {CELL}>{html.escape(cell)}</td>" for cell in entry) + "</tr>"
        for entry in entries
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


class History(list[dict[str, Any]]):
    """The epochs of a run, a row each; in a notebook, a table."""

    def to_pandas(self) -> Any:
        """Return a ``pandas.DataFrame`` with the epoch as its index.

        Raises:
            ImportError: if pandas is not installed.
        """
        import pandas

        return pandas.DataFrame(list(self)).set_index("epoch")

    def _repr_html_(self) -> str:
        names = list(dict.fromkeys(name for row in self for name in row))
        cells = [[_shown(row.get(name)) for name in names] for row in self]
        return table(names, cells)


def _shown(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Curves:
    """Learning curves of one or more runs.

    Attributes:
        rows: of ``metrics.jsonl``, by the run's name.
    """

    rows: Mapping[str, Rows]

    @property
    def svg(self) -> str:
        """The picture, as a document."""
        return curves(self.rows)

    def _repr_html_(self) -> str:
        return self.svg  # inline, so that it has the colour of the page's text

    def __repr__(self) -> str:
        return f"learning curves of {', '.join(self.rows)}; .svg is the picture"


@dataclass(frozen=True)
class Compared:
    """A comparison: table, verdicts and curves.

    Attributes:
        found: the numbers.
        sides: what was compared.
    """

    found: Comparison
    sides: list[Side]

    def plot(self) -> Curves:
        """Return the learning curves of all runs, over each other."""
        return Curves(
            {
                records.name: files.read_lines(side.folders[seed] / layout.METRICS)
                for side in self.sides
                for seed, records in side.records.items()
            }
        )

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as JSON-able tables."""
        return self.found.to_json()

    def __str__(self) -> str:
        return markdown(self.found)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        headings, entries = rows(self.found)
        said = [verdict(self.found, pairing) for pairing in self.found.pairings]
        texts = [f"<li>{html.escape(text)} {html.escape(more)}</li>" for text, more in said]
        texts += [f"<li>{html.escape(text)}.</li>" for text in self.found.notes]
        return (
            f"{table(headings, entries)}"
            f'<ul style="margin: 0; text-align: left">{"".join(texts)}</ul>{self.plot().svg}'
        )


@dataclass(frozen=True)
class Studied:
    """The results of a study.

    Attributes:
        folder: of the study.
    """

    folder: Path

    @property
    def results(self) -> study.Results:
        """What the study found: its variants, trials and final runs."""
        return study.load(self.folder)

    @property
    def comparison(self) -> Compared | None:
        """The variants' final runs compared; ``None`` where there are none to compare."""
        found = self.results
        if found.comparison is None:
            return None
        return Compared(found.comparison, study.sides_of(found.variants))

    def report(self) -> Path:
        """Return the path of the study's page, written anew."""
        from mlplab.report.study_page import write_study_page

        return write_study_page(self.folder)

    def __repr__(self) -> str:
        lines = ["  ".join(row) for row in [list(study.TRIAL_HEADINGS), *self._rows()]]
        compared = [str(self.comparison)] if self.comparison else []
        return "\n".join([*lines, *compared, *self.results.missing])

    def _rows(self) -> list[list[str]]:
        return study.trial_rows(self.results)

    def _repr_html_(self) -> str:
        compared = "" if self.comparison is None else self.comparison._repr_html_()
        missing = "".join(f"<p>{html.escape(text)}</p>" for text in self.results.missing)
        return table(study.TRIAL_HEADINGS, self._rows()) + compared + missing
