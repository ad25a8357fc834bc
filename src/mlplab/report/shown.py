"""What shows itself in a notebook: curves, and a comparison. In a terminal, it is text."""

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlplab import files
from mlplab.report.comparison import Comparison
from mlplab.report.comparison_tables import markdown, rows, verdict
from mlplab.report.configurations import Side
from mlplab.report.curve_svg import Rows, curves
from mlplab.runs import layout

CELL = 'style="text-align: right; padding: 2px 8px"'


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
        head = "".join(f"<th {CELL}>{html.escape(word)}</th>" for word in headings)
        body = "".join(
            "<tr>" + "".join(f"<td {CELL}>{html.escape(cell)}</td>" for cell in entry) + "</tr>"
            for entry in entries
        )
        said = [verdict(self.found, pairing) for pairing in self.found.pairings]
        texts = [f"<li>{html.escape(text)} {html.escape(more)}</li>" for text, more in said]
        texts += [f"<li>{html.escape(text)}.</li>" for text in self.found.notes]
        return (
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            f'<ul style="margin: 0; text-align: left">{"".join(texts)}</ul>{self.plot().svg}'
        )
